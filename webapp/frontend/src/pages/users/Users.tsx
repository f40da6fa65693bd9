import { Button, PageSection, Tab, Tabs, TabTitleText } from "@patternfly/react-core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { client, data } from "../../api/client";
import { Loaded } from "../../parts/Loaded";
import { PageTitle } from "../../parts/PageTitle";
import { ChangeUser } from "./ChangeUser";
import { Enrolled, type NewFactor } from "./Enrolled";
import { NewUser } from "./NewUser";
import { PatientsRights } from "./PatientsRights";
import { type Change, type User, UsersTable } from "./UsersTable";
import { UserTokens } from "./UserTokens";

type Open = { what: "new" } | { what: "tokens"; user: User } | { what: Change; user: User };

/** Who may sign in, and what the law lets patients ask for; for administrators. */
export default function Users() {
  const { t } = useTranslation("users");
  const { t: tc } = useTranslation();
  const queries = useQueryClient();
  const [address, setAddress] = useSearchParams();
  const [open, setOpen] = useState<Open | null>(null);
  const [factor, setFactor] = useState<NewFactor | null>(null);
  const users = useQuery({
    queryKey: ["/users"],
    queryFn: () => data(client.GET("/users")),
    // Whoever has renewed the own second factor is signed out, and must see the new one before that shows.
    enabled: factor === null,
  });
  const close = (): void => setOpen(null);
  const done = (made: NewFactor | null): void => {
    setOpen(null);
    setFactor(made);
    if (!made) void queries.invalidateQueries({ queryKey: ["/users"] });
  };
  const seen = (): void => {
    setFactor(null);
    void queries.invalidateQueries({ queryKey: ["/users"] });
  };
  const tab = address.get("tab") === "patients" ? "patients" : "users";
  return (
    <>
      <PageTitle
        title={tc("page.users")}
        actions={tab === "users" && <Button onClick={() => setOpen({ what: "new" })}>{t("new")}</Button>}
      />
      <PageSection>
        <Tabs
          activeKey={tab}
          onSelect={(_event, key) => setAddress(key === "patients" ? { tab: "patients" } : {})}
          tabListAriaLabel={tc("page.users")}
          mountOnEnter
        >
          <Tab eventKey="users" title={<TabTitleText>{tc("page.users")}</TabTitleText>}>
            <Loaded query={users}>
              {({ users: all }) => <UsersTable users={all} onOpen={(what, user) => setOpen({ what, user })} />}
            </Loaded>
          </Tab>
          <Tab eventKey="patients" title={<TabTitleText>{t("patients")}</TabTitleText>}>
            <PatientsRights />
          </Tab>
        </Tabs>
      </PageSection>
      {open?.what === "new" && <NewUser onDone={done} onClose={close} />}
      {open?.what === "tokens" && <UserTokens name={open.user.name} onClose={close} />}
      {open && open.what !== "new" && open.what !== "tokens" && (
        <ChangeUser change={open.what} user={open.user} onDone={done} onClose={close} />
      )}
      {factor && <Enrolled factor={factor} onClose={seen} />}
    </>
  );
}
