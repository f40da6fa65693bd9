import { EmptyState, Label, LabelGroup, MenuToggle } from "@patternfly/react-core";
import { BanIcon } from "@patternfly/react-icons/dist/esm/icons/ban-icon";
import { EllipsisVIcon } from "@patternfly/react-icons/dist/esm/icons/ellipsis-v-icon";
import { LockIcon } from "@patternfly/react-icons/dist/esm/icons/lock-icon";
import { ActionsColumn, Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { useWho } from "../../app/session";
import { momentOf } from "../../parts/format";

export type User = Of<"UserAnswer">;
export const CHANGES = ["role", "password", "factor", "unlock", "disable", "enable"] as const;
export type Change = (typeof CHANGES)[number];

interface Props {
  users: readonly User[];
  onOpen: (what: Change | "tokens", user: User) => void;
}

const COLUMNS = ["name", "role", "state", "signsInWith", "created"] as const;

/** All users, and what can be done with each. */
export function UsersTable({ users, onOpen }: Props) {
  const { t } = useTranslation("users");
  const { t: tc } = useTranslation();
  const me = useWho().user;
  const wayOf = (text: string): string => {
    if (text === "password and code") return t("way.password");
    return text === "the hospital's sign-on" ? t("way.signOn") : text;
  };
  if (users.length === 0) return <EmptyState titleText={t("empty")} headingLevel="h2" />;
  return (
    <Table variant="compact" gridBreakPoint="grid-md" aria-label={tc("page.users")}>
      <Thead>
        <Tr>
          {COLUMNS.map((name) => (
            <Th key={name} modifier="wrap">
              {t(`column.${name}`)}
            </Th>
          ))}
          <Th screenReaderText={t("column.actions")} />
        </Tr>
      </Thead>
      <Tbody>
        {users.map((user) => (
          <Tr key={user.name}>
            <Td dataLabel={t("column.name")} modifier="breakWord">
              {user.name}{" "}
              {user.name === me && (
                <Label color="blue" isCompact>
                  {t("you")}
                </Label>
              )}
            </Td>
            <Td dataLabel={t("column.role")}>{tc(`role.${user.role}`)}</Td>
            <Td dataLabel={t("column.state")}>
              <States user={user} />
            </Td>
            <Td dataLabel={t("column.signsInWith")}>{wayOf(user.signs_in_with)}</Td>
            <Td dataLabel={t("column.created")}>{momentOf(user.created_at)}</Td>
            <Td isActionCell>
              <ActionsColumn
                items={actionsFor(user).map((what) => ({ title: t(`do.${what}`), onClick: () => onOpen(what, user) }))}
                actionsToggle={({ onToggle, isOpen, isDisabled, toggleRef }) => (
                  <MenuToggle
                    ref={toggleRef}
                    variant="plain"
                    aria-label={t("actions", { name: user.name })}
                    isExpanded={isOpen}
                    isDisabled={isDisabled}
                    onClick={onToggle}
                    icon={<EllipsisVIcon />}
                  />
                )}
              />
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function actionsFor(user: User): readonly (Change | "tokens")[] {
  return [
    "tokens",
    "role",
    "password",
    "factor",
    ...(user.locked ? (["unlock"] as const) : []),
    user.disabled ? "enable" : "disable",
  ];
}

function States({ user }: { user: User }) {
  const { t } = useTranslation("users");
  if (!user.disabled && !user.locked) {
    return (
      <Label status="success" isCompact>
        {t("state.active")}
      </Label>
    );
  }
  return (
    <LabelGroup aria-label={t("column.state")}>
      {user.disabled && (
        <Label color="grey" icon={<BanIcon />} isCompact>
          {t("state.disabled")}
        </Label>
      )}
      {user.locked && (
        <Label color="orange" icon={<LockIcon />} isCompact>
          {t("state.locked")}
        </Label>
      )}
    </LabelGroup>
  );
}
