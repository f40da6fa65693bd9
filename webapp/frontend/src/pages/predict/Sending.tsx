import {
  Button,
  Card,
  CardBody,
  CardTitle,
  Content,
  Progress,
  Spinner,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { bytesOf, percentOf } from "../../parts/format";
import { ProblemAlert } from "../../parts/ProblemAlert";

interface Props {
  /** Which share has been sent, in [0, 1]; null while it waits to be sent again. */
  sent: number | null;
  bytes: number;
  /** Why it waits. */
  error: unknown;
  onCancel: () => void;
}

/** How far an upload is, and what follows. */
export function Sending({ sent, bytes, error, onCancel }: Props) {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  const isThere = sent === 1;
  const share = sent ?? 0;
  const doing = sent === null ? t("sending.again") : isThere ? t("sending.looking") : t("sending.now");
  return (
    <Card>
      <CardTitle component="h2">{t("sending.title")}</CardTitle>
      <CardBody>
        <Stack hasGutter>
          {sent === null && error !== null && (
            <StackItem>
              <ProblemAlert error={error} />
            </StackItem>
          )}
          <StackItem>
            <Progress
              id="sending"
              title={t("sending.share", { sent: bytesOf(share * bytes), all: bytesOf(bytes) })}
              value={Math.round(share * 100)}
              label={percentOf(share)}
              hideStatusIcon
            />
          </StackItem>
          <StackItem>
            <Content component="p">
              {isThere && <Spinner isInline aria-hidden />} <span role="status">{doing}</span>
            </Content>
          </StackItem>
          <StackItem>
            <Button variant="secondary" onClick={onCancel}>
              {tc("cancel")}
            </Button>
          </StackItem>
        </Stack>
      </CardBody>
    </Card>
  );
}
