import { Label, LabelGroup } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { dayOf } from "../../parts/format";
import { knownAction } from "./actions";
import { activeOf, type FilterName, type Filters } from "./filters";

interface Props {
  filters: Filters;
  onFilter: (filters: Filters) => void;
}

/** What the list is filtered by; each can be taken away. */
export function Chips({ filters, onFilter }: Props) {
  const { t } = useTranslation("log");
  const shown = (name: FilterName): string => {
    const value = filters[name];
    if (name === "since" || name === "until") return dayOf(value.replaceAll("-", ""));
    const action = name === "action" ? knownAction(value) : undefined;
    return action ? t(`action.${action}`) : value;
  };
  const active = activeOf(filters);
  if (active.length === 0) return null;
  return (
    <LabelGroup categoryName={t("activeFilters")} numLabels={active.length}>
      {active.map((name) => (
        <Label
          key={name}
          color="blue"
          onClose={() => onFilter({ ...filters, [name]: "" })}
          closeBtnAriaLabel={t("removeFilter", { name: t(`filter.${name}`) })}
        >
          {t(`filter.${name}`)}: {shown(name)}
        </Label>
      ))}
    </LabelGroup>
  );
}
