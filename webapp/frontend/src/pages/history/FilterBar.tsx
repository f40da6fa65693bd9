import {
  Button,
  FormGroup,
  FormSelect,
  FormSelectOption,
  TextInput,
  Toolbar,
  ToolbarContent,
  ToolbarItem,
} from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { type Filters, STATES } from "./filters";

interface Props {
  filters: Filters;
  onChange: (name: keyof Filters, value: string) => void;
  onClear: () => void;
}

const DAYS = ["since", "until"] as const;

/** What narrows down one's own predictions. */
export function FilterBar({ filters, onChange, onClear }: Props) {
  const { t } = useTranslation("history");
  const { t: tc } = useTranslation();
  return (
    <Toolbar inset={{ default: "insetNone" }}>
      <ToolbarContent alignItems="baseline">
        <ToolbarItem>
          <FormGroup label={t("state")} fieldId="filter-state">
            <FormSelect
              id="filter-state"
              value={filters.state ?? ""}
              onChange={(_event, value) => onChange("state", value)}
            >
              <FormSelectOption value="" label={t("anyState")} />
              {STATES.map((state) => (
                <FormSelectOption key={state} value={state} label={tc(`state.${state}`)} />
              ))}
            </FormSelect>
          </FormGroup>
        </ToolbarItem>
        {DAYS.map((name) => (
          <ToolbarItem key={name}>
            <FormGroup label={t(name)} fieldId={`filter-${name}`}>
              <TextInput
                id={`filter-${name}`}
                type="date"
                max="9999-12-31"
                value={filters[name] ?? ""}
                onChange={(_event, value) => onChange(name, value)}
              />
            </FormGroup>
          </ToolbarItem>
        ))}
        {Object.keys(filters).length > 0 && (
          <ToolbarItem>
            <Button variant="link" onClick={onClear}>
              {t("clear")}
            </Button>
          </ToolbarItem>
        )}
      </ToolbarContent>
    </Toolbar>
  );
}
