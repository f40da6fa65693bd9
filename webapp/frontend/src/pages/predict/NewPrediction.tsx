import { Card, CardBody, CardTitle, PageSection, Stack, StackItem } from "@patternfly/react-core";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { useWho } from "../../app/session";
import { PageTitle } from "../../parts/PageTitle";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { ChosenScans } from "./ChosenScans";
import { DropScans } from "./DropScans";
import { LeaveUpload } from "./LeaveUpload";
import { SendForm } from "./SendForm";
import { Sending } from "./Sending";
import { bytesIn, type Scan, withMore } from "./scans";
import { useUpload } from "./useUpload";

/** A patient's scans are chosen and sent. */
export default function NewPrediction() {
  const { t } = useTranslation("predict");
  const who = useWho();
  const go = useNavigate();
  const [scans, setScans] = useState<readonly Scan[]>([]);
  const [recordNumber, setRecordNumber] = useState("");
  const [notice, setNotice] = useState<string | null>(null);
  const upload = useUpload();
  const most = who.upload_mb * 1_000_000;
  const bytes = bytesIn(scans);

  const choose = (files: readonly File[]): void => {
    const more = withMore(scans, files);
    if (more.clash) setNotice(t("new.clash", { path: more.clash }));
    else setNotice(files.length === 0 ? t("new.empty") : null);
    setScans(more.scans);
    upload.forget();
  };
  const change = (kept: readonly Scan[]): void => {
    setNotice(null);
    setScans(kept);
    upload.forget();
  };
  const send = (): void => upload.send(scans, recordNumber.trim());

  const cancel = (): void => {
    if (upload.sent === 1) setNotice(t("new.late"));
    upload.cancel();
  };

  const made = upload.made?.id;
  // Below the blocker of LeaveUpload, which has let go by the time this runs.
  useEffect(() => {
    if (made) void go(`/predict/${made}`);
  }, [made, go]);

  return (
    <>
      <PageTitle title={t("new.title")} lead={t("new.lead")} />
      <PageSection>
        <Stack hasGutter>
          {upload.isPending ? (
            <StackItem>
              <Sending sent={upload.sent} bytes={bytes} error={upload.error} onCancel={cancel} />
            </StackItem>
          ) : (
            <>
              {upload.error !== null && (
                <StackItem>
                  <ProblemAlert error={upload.error} onRetry={send} onClose={upload.forget} />
                </StackItem>
              )}
              <StackItem>
                <DropScans most={most} notice={notice} onChoose={choose} onFail={() => setNotice(t("new.unread"))} />
              </StackItem>
            </>
          )}
          {scans.length > 0 && (
            <StackItem>
              <Card>
                <CardTitle component="h2">{t("new.toSend")}</CardTitle>
                <CardBody>
                  <Stack hasGutter>
                    <StackItem>
                      <ChosenScans scans={scans} isLocked={upload.isPending} onChange={change} />
                    </StackItem>
                    <StackItem>
                      <SendForm
                        bytes={bytes}
                        most={most}
                        recordNumber={recordNumber}
                        isSending={upload.isPending}
                        onType={setRecordNumber}
                        onSend={send}
                      />
                    </StackItem>
                  </Stack>
                </CardBody>
              </Card>
            </StackItem>
          )}
        </Stack>
      </PageSection>
      <LeaveUpload isPending={upload.isPending} />
    </>
  );
}
