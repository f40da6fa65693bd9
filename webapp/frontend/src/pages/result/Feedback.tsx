import {
  ActionGroup,
  Alert,
  Button,
  Card,
  CardBody,
  CardTitle,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  Radio,
  TextArea,
} from "@patternfly/react-core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";

const LONGEST = 4000;
const OPINIONS = ["agreed", "disagreed"] as const;
type Opinion = (typeof OPINIONS)[number];

/** What a clinician thinks of a result, for the audit log. */
export function Feedback({ identifier }: { identifier: string }) {
  const { t } = useTranslation("result");
  const [opinion, setOpinion] = useState<Opinion | null>(null);
  const [comment, setComment] = useState("");
  const saying = useMutation({
    mutationFn: (action: Opinion) => {
      const said = comment.trim();
      return data(client.POST("/log", { body: { prediction: identifier, action, ...(said && { comment: said }) } }));
    },
    onSuccess: () => {
      setOpinion(null);
      setComment("");
    },
  });
  const length = [...comment.trim()].length;
  const isTooLong = length > LONGEST;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (opinion) saying.mutate(opinion);
  };
  return (
    <Card className="gliofed-not-printed">
      <CardTitle component="h2">{t("feedback.title")}</CardTitle>
      <CardBody>
        <Form onSubmit={submit}>
          {saying.error && <ProblemAlert error={saying.error} />}
          {saying.isSuccess && (
            <Alert variant="success" isInline isLiveRegion component="h3" title={t("feedback.recorded")}>
              {t("feedback.another")}
            </Alert>
          )}
          <FormGroup role="radiogroup" isInline isRequired fieldId="result-opinion" label={t("feedback.question")}>
            {OPINIONS.map((one) => (
              <Radio
                key={one}
                id={`result-${one}`}
                name="result-opinion"
                label={t(`feedback.${one}`)}
                isChecked={opinion === one}
                onChange={() => {
                  setOpinion(one);
                  if (saying.isSuccess) saying.reset();
                }}
              />
            ))}
          </FormGroup>
          <FormGroup label={t("feedback.comment")} fieldId="result-comment">
            <TextArea
              id="result-comment"
              resizeOrientation="vertical"
              rows={3}
              value={comment}
              validated={isTooLong ? "error" : "default"}
              aria-describedby="result-comment-help"
              onChange={(_event, value) => setComment(value)}
            />
            <FormHelperText>
              <HelperText isLiveRegion={isTooLong}>
                <HelperTextItem id="result-comment-help" variant={isTooLong ? "error" : "default"}>
                  {isTooLong
                    ? t("feedback.tooLong", { count: length - LONGEST })
                    : t("feedback.help", { left: LONGEST - length })}
                </HelperTextItem>
              </HelperText>
            </FormHelperText>
          </FormGroup>
          <ActionGroup>
            <Button
              type="submit"
              variant="secondary"
              isDisabled={!opinion || isTooLong || saying.isPending}
              isLoading={saying.isPending}
            >
              {t("feedback.submit")}
            </Button>
          </ActionGroup>
        </Form>
      </CardBody>
    </Card>
  );
}
