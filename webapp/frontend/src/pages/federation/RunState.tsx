import { Label } from "@patternfly/react-core";
import { BanIcon } from "@patternfly/react-icons/dist/esm/icons/ban-icon";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { ExclamationCircleIcon } from "@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon";
import { InProgressIcon } from "@patternfly/react-icons/dist/esm/icons/in-progress-icon";
import { OutlinedClockIcon } from "@patternfly/react-icons/dist/esm/icons/outlined-clock-icon";
import { PauseCircleIcon } from "@patternfly/react-icons/dist/esm/icons/pause-circle-icon";
import { useTranslation } from "react-i18next";
import type { Run } from "./runs";

const LOOKS = {
  offered: { color: "grey", icon: <OutlinedClockIcon /> },
  starting: { color: "blue", icon: <InProgressIcon /> },
  running: { color: "blue", icon: <InProgressIcon /> },
  paused: { status: "warning", icon: <PauseCircleIcon /> },
  stopped: { color: "grey", icon: <BanIcon /> },
  failed: { status: "danger", icon: <ExclamationCircleIcon /> },
  finished: { status: "success", icon: <CheckCircleIcon /> },
} as const;

/** A run's state. */
export function RunState({ state }: Pick<Run, "state">) {
  const { t } = useTranslation("federation");
  return (
    <div>
      <Label {...LOOKS[state]}>{t(`run.state.${state}`)}</Label>
    </div>
  );
}
