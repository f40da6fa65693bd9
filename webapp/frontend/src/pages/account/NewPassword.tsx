import { FormGroup, FormHelperText, HelperText, HelperTextItem, TextInput } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { brokenRules, LONGEST, RULES, SHORTEST } from "./passwords";

interface Props {
  id: string;
  /** Whose it will be. */
  name: string;
  password: string;
  again: string;
  onPassword: (password: string) => void;
  onAgain: (again: string) => void;
}

/** A new password, typed twice, and its rules, each of which says whether it is kept. */
export function NewPassword({ id, name, password, again, onPassword, onAgain }: Props) {
  const { t } = useTranslation("account");
  const broken = brokenRules(password, again, name);
  return (
    <>
      <FormGroup label={t("newPassword")} fieldId={id} isRequired>
        <TextInput
          id={id}
          type="password"
          autoComplete="new-password"
          isRequired
          value={password}
          aria-describedby={`${id}-rules`}
          onChange={(_event, value) => onPassword(value)}
        />
      </FormGroup>
      <FormGroup label={t("newPasswordAgain")} fieldId={`${id}-again`} isRequired>
        <TextInput
          id={`${id}-again`}
          type="password"
          autoComplete="new-password"
          isRequired
          value={again}
          aria-describedby={`${id}-rules`}
          onChange={(_event, value) => onAgain(value)}
        />
        <FormHelperText>
          <HelperText component="ul" id={`${id}-rules`} aria-label={t("rules")}>
            {RULES.map((rule) => {
              const isKept = !broken.includes(rule);
              return (
                <HelperTextItem
                  key={rule}
                  component="li"
                  variant={isKept ? "success" : "indeterminate"}
                  screenReaderText={isKept ? t("ruleKept") : t("ruleOpen")}
                >
                  {t(`rule.${rule}`, { shortest: SHORTEST, longest: LONGEST })}
                </HelperTextItem>
              );
            })}
          </HelperText>
        </FormHelperText>
      </FormGroup>
    </>
  );
}
