/** What can be an event: as the server names it, in the order in which people look for it. */

export const GROUPS = {
  predictions: [
    "scans.uploaded",
    "draft.corrected",
    "prediction.asked",
    "prediction.made",
    "prediction.failed",
    "prediction.withdrawn",
    "draft.expired",
    "scans.expired",
    "result.expired",
  ],
  results: ["result.shown", "file.shown", "result.viewed", "result.downloaded", "result.agreed", "result.disagreed"],
  refused: ["access.denied", "access.denied-often", "sign-in.failed", "user.locked"],
  access: ["signed.in", "signed.out", "token.made", "token.revoked"],
  users: [
    "user.created",
    "user.changed",
    "user.password-changed",
    "user.second-factor-renewed",
    "user.unlocked",
    "user.signed-out",
  ],
  patients: ["patient.opened", "patient.exported", "patient.erased"],
  federation: ["version.approve-asked", "version.retire-asked", "run.stop-asked", "run.resume-asked"],
  keeping: ["log.read", "log.exported", "log.verified", "keys.made", "keys.rotated", "backup.made", "backup.restored"],
} as const;

type Groups = typeof GROUPS;
export type Group = keyof Groups;
export type Action = Groups[Group][number];

const ALL: readonly Action[] = Object.values(GROUPS).flat();
const REFUSALS: readonly string[] = GROUPS.refused;

/** Return an action that has words of its own here, or undefined for one of a newer server. */
export function knownAction(action: string): Action | undefined {
  return ALL.find((one) => one === action);
}

/** Say whether an event tells that somebody did not get what they wanted. */
export function isRefusal(action: string): boolean {
  return REFUSALS.includes(action);
}
