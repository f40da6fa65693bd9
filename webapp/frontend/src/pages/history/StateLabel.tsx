import { Label } from "@patternfly/react-core";
import { BanIcon } from "@patternfly/react-icons/dist/esm/icons/ban-icon";
import { ClockIcon } from "@patternfly/react-icons/dist/esm/icons/clock-icon";
import { InProgressIcon } from "@patternfly/react-icons/dist/esm/icons/in-progress-icon";
import { PencilAltIcon } from "@patternfly/react-icons/dist/esm/icons/pencil-alt-icon";
import type { ComponentProps } from "react";
import { useTranslation } from "react-i18next";
import type { State } from "./filters";

const LOOK: Record<State, Pick<ComponentProps<typeof Label>, "color" | "icon" | "status">> = {
  draft: { color: "grey", icon: <PencilAltIcon /> },
  queued: { color: "blue", icon: <ClockIcon /> },
  running: { color: "blue", icon: <InProgressIcon /> },
  done: { status: "success" },
  failed: { status: "danger" },
  withdrawn: { color: "grey", icon: <BanIcon /> },
};

/** How far a prediction is, in a word with its sign. */
export function StateLabel({ state }: { state: State }) {
  const { t } = useTranslation();
  return <Label {...LOOK[state]}>{t(`state.${state}`)}</Label>;
}
