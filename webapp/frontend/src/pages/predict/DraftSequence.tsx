import {
  Card,
  CardBody,
  CardTitle,
  Content,
  FormGroup,
  FormSelect,
  FormSelectOption,
  Label,
  List,
  ListItem,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { percentOf } from "../../parts/format";
import { type Draft, numbered, type Sequence, type Series, surenessOf } from "./draft";
import { Thumbnail } from "./Thumbnail";
import { useSeriesName } from "./useSeriesName";

interface Props {
  prediction: string;
  draft: Draft;
  sequence: Sequence;
  onChoose: (key: string | null) => void;
}

/** The series that stands for a sequence, why, and the others that could. */
export function DraftSequence({ prediction, draft, sequence, onChoose }: Props) {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  const nameOf = useSeriesName();
  const all = numbered(draft);
  const chosen = all.find((one) => one.series.key === draft.chosen[sequence]);
  const name = tc(`sequence.${sequence}`);
  const field = `sequence-${sequence}`;
  return (
    <Card isFullHeight>
      <CardTitle component="h3">{name}</CardTitle>
      <CardBody>
        <Stack hasGutter>
          <StackItem>
            <Thumbnail
              prediction={prediction}
              series={chosen?.series}
              alt={chosen ? t("draft.picture", { name: nameOf(chosen) }) : ""}
            />
          </StackItem>
          <StackItem isFilled>
            {chosen ? <Found series={chosen.series} sequence={sequence} /> : <Content>{t("draft.nothing")}</Content>}
          </StackItem>
          <StackItem>
            <FormGroup label={t("draft.series")} fieldId={field}>
              <FormSelect
                id={field}
                aria-label={t("draft.seriesOf", { sequence: name })}
                value={chosen?.series.key ?? ""}
                validated={chosen ? "default" : "warning"}
                onChange={(_event, key) => onChoose(key || null)}
              >
                <FormSelectOption value="" label={tc("none")} />
                {all
                  .filter((one) => !one.series.wrong)
                  .map((one) => (
                    <FormSelectOption key={one.series.key} value={one.series.key} label={nameOf(one)} />
                  ))}
              </FormSelect>
            </FormGroup>
          </StackItem>
        </Stack>
      </CardBody>
    </Card>
  );
}

const COLOR = { sure: "green", likely: "blue", unsure: "orange" } as const;

function Found({ series, sequence }: { series: Series; sequence: Sequence }) {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  const sureness = surenessOf(series.confidence);
  const looksLike = series.sequence ? tc(`sequence.${series.sequence}`) : tc("unknown");
  return (
    <Stack hasGutter>
      <StackItem>
        {series.description || t("noDescription")}, {t("slices", { count: series.slices })}
      </StackItem>
      {series.sequence === sequence ? (
        <StackItem>
          <Label color={COLOR[sureness]}>{t(`sureness.${sureness}`, { percent: percentOf(series.confidence) })}</Label>
        </StackItem>
      ) : (
        <>
          <StackItem>
            <Label color="orange">{t("draft.byHand")}</Label>
          </StackItem>
          <StackItem>{t("draft.looksLike", { sequence: looksLike })}</StackItem>
        </>
      )}
      {series.because.length > 0 && (
        <StackItem>
          <List isPlain>
            {series.because.map((reason) => (
              <ListItem key={reason}>{reason}</ListItem>
            ))}
          </List>
        </StackItem>
      )}
    </Stack>
  );
}
