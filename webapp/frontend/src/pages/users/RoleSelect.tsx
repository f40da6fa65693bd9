import {
  FormGroup,
  FormHelperText,
  FormSelect,
  FormSelectOption,
  HelperText,
  HelperTextItem,
} from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import type { User } from "./UsersTable";

const ROLES: readonly User["role"][] = ["clinician", "auditor", "coordinator", "administrator"];

interface Props {
  id: string;
  role: User["role"];
  onRole: (role: User["role"]) => void;
}

/** One of the roles, and what it may. */
export function RoleSelect({ id, role, onRole }: Props) {
  const { t } = useTranslation("users");
  const { t: tc } = useTranslation();
  return (
    <FormGroup label={t("column.role")} fieldId={id}>
      <FormSelect
        id={id}
        value={role}
        aria-describedby={`${id}-may`}
        onChange={(_event, value) => onRole(ROLES.find((one) => one === value) ?? role)}
      >
        {ROLES.map((one) => (
          <FormSelectOption key={one} value={one} label={tc(`role.${one}`)} />
        ))}
      </FormSelect>
      <FormHelperText>
        <HelperText>
          <HelperTextItem id={`${id}-may`}>{t(`may.${role}`)}</HelperTextItem>
        </HelperText>
      </FormHelperText>
    </FormGroup>
  );
}
