import {
  Card,
  CardBody,
  CardTitle,
  Content,
  FormGroup,
  Label,
  List,
  ListItem,
  MenuToggle,
  Select,
  SelectList,
  SelectOption,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { useState } from "react";
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
  const [isOpen, setOpen] = useState(false);
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
              {/* Not the browser's own: that would choose each series that the arrow keys pass on their way. */}
              <Select
                isOpen={isOpen}
                selected={chosen?.series.key ?? ""}
                onOpenChange={setOpen}
                onSelect={(_event, key) => {
                  setOpen(false);
                  onChoose(String(key) || null);
                }}
                shouldFocusToggleOnSelect
                popperProps={{ width: "max-content", maxWidth: "24rem", position: "end" }}
                toggle={(toggle) => (
                  <MenuToggle
                    id={field}
                    ref={toggle}
                    isFullWidth
                    isExpanded={isOpen}
                    aria-label={t("draft.seriesOf", { sequence: name, series: chosen ? nameOf(chosen) : tc("none") })}
                    {...(!chosen && { status: "warning" as const })}
                    onClick={() => setOpen(!isOpen)}
                  >
                    {chosen ? nameOf(chosen) : tc("none")}
                  </MenuToggle>
                )}
              >
                <SelectList aria-label={t("draft.seriesFor", { sequence: name })}>
                  <SelectOption value="">{tc("none")}</SelectOption>
                  {all
                    .filter((one) => !one.series.wrong)
                    .map((one) => (
                      <SelectOption key={one.series.key} value={one.series.key}>
                        {nameOf(one)}
                      </SelectOption>
                    ))}
                </SelectList>
              </Select>
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
