import { ClipboardCopy } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";

interface Props {
  children: string;
}

/** A command to type on the server's machine. */
export function Command({ children }: Props) {
  const { t } = useTranslation();
  return (
    <ClipboardCopy variant="inline-compact" isCode isBlock isReadOnly hoverTip={t("copy")} clickTip={t("copied")}>
      {children}
    </ClipboardCopy>
  );
}
