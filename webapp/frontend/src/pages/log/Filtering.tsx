import {
  Button,
  Form,
  FormGroup,
  FormHelperText,
  FormSelect,
  FormSelectOption,
  FormSelectOptionGroup,
  Grid,
  GridItem,
  HelperText,
  HelperTextItem,
  TextInput,
} from "@patternfly/react-core";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { GROUPS, type Group, knownAction } from "./actions";
import { type FilterName, type Filters, faultsOf, LIMITS, NO_FILTERS, tidied } from "./filters";

interface Props {
  filters: Filters;
  onFilter: (filters: Filters) => void;
}

const GROUP_NAMES: readonly Group[] = [
  "predictions",
  "results",
  "refused",
  "access",
  "users",
  "patients",
  "federation",
  "keeping",
];

/** What to look for in the log; nothing is asked before it is submitted. */
export function Filtering({ filters, onFilter }: Props) {
  const { t } = useTranslation("log");
  const [typed, setTyped] = useState(filters);
  const [faults, setFaults] = useState<readonly FilterName[]>([]);
  const [before, setBefore] = useState(JSON.stringify(filters));
  if (before !== JSON.stringify(filters)) {
    // Another address, by a chip or by the browser's way back.
    setBefore(JSON.stringify(filters));
    setTyped(filters);
    setFaults([]);
  }
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const wanted = tidied(typed);
    const wrong = faultsOf(wanted);
    setFaults(wrong);
    setTyped(wanted);
    if (wrong.length === 0) onFilter(wanted);
  };
  const set = (name: FilterName, value: string): void => setTyped({ ...typed, [name]: value });
  const field = (name: Exclude<FilterName, "action">, type: "text" | "date" = "text") => {
    const isWrong = faults.includes(name);
    return (
      <FormGroup label={t(`filter.${name}`)} fieldId={`log-${name}`}>
        <TextInput
          id={`log-${name}`}
          type={type}
          value={typed[name]}
          autoComplete="off"
          validated={isWrong ? "error" : "default"}
          {...(isWrong ? { "aria-describedby": `log-${name}-fault` } : {})}
          onChange={(_event, value) => set(name, value)}
        />
        {isWrong && (
          <FormHelperText>
            <HelperText>
              <HelperTextItem id={`log-${name}-fault`} variant="error" screenReaderText="" aria-live="polite">
                {t(`fault.${name}`)}
              </HelperTextItem>
            </HelperText>
          </FormHelperText>
        )}
      </FormGroup>
    );
  };
  return (
    <Form onSubmit={submit} role="search" aria-label={t("filters")} noValidate>
      <Grid hasGutter sm={6} lg={4} xl={3}>
        <GridItem>{field("user")}</GridItem>
        <GridItem>
          <FormGroup label={t("filter.action")} fieldId="log-action">
            <FormSelect id="log-action" value={typed.action} onChange={(_event, value) => set("action", value)}>
              <FormSelectOption value="" label={t("anyAction")} />
              {typed.action && !knownAction(typed.action) && (
                <FormSelectOption value={typed.action} label={typed.action} />
              )}
              {GROUP_NAMES.map((group) => (
                <FormSelectOptionGroup key={group} label={t(`group.${group}`)}>
                  {GROUPS[group].map((action) => (
                    <FormSelectOption key={action} value={action} label={t(`action.${action}`)} />
                  ))}
                </FormSelectOptionGroup>
              ))}
            </FormSelect>
          </FormGroup>
        </GridItem>
        <GridItem>{field("model")}</GridItem>
        <GridItem>{field("case")}</GridItem>
        <GridItem>{field("since", "date")}</GridItem>
        <GridItem>{field("until", "date")}</GridItem>
        <GridItem>
          <FormGroup label={t("filter.limit")} fieldId="log-limit">
            <FormSelect
              id="log-limit"
              value={typed.limit}
              onChange={(_event, value) =>
                setTyped({ ...typed, limit: LIMITS.find((one) => String(one) === value) ?? NO_FILTERS.limit })
              }
            >
              {LIMITS.map((one) => (
                <FormSelectOption key={one} value={one} label={String(one)} />
              ))}
            </FormSelect>
          </FormGroup>
        </GridItem>
        <GridItem style={{ alignSelf: "end" }}>
          <Button type="submit">{t("apply")}</Button>{" "}
          <Button variant="link" onClick={() => onFilter(NO_FILTERS)}>
            {t("clear")}
          </Button>
        </GridItem>
      </Grid>
    </Form>
  );
}
