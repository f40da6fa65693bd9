import { useTranslation } from "react-i18next";
import { Facts } from "./Facts";
import { amountIn, knownSetting } from "./settings";

interface Props {
  settings: Readonly<Record<string, number>>;
}

/** Settings of one kind. */
export function SettingsList({ settings }: Props) {
  const { t, i18n } = useTranslation("server");
  return (
    <Facts
      facts={Object.entries(settings).map(([name, value]) => {
        const known = knownSetting(name);
        return [known ? t(`setting.${known}`) : name, amountIn(i18n.language, name, value)] as const;
      })}
    />
  );
}
