import { useQuery, useQueryClient } from "@tanstack/react-query";
import { client, data, forget } from "../../api/client";
import { useWho } from "../../app/session";
import { Loaded } from "../../parts/Loaded";
import { TokensTable } from "../../parts/TokensTable";

/** One's own sessions and tokens; who ends the session that asks is signed out. */
export function MyTokens() {
  const queries = useQueryClient();
  const present = useWho().credential;
  const mine = useQuery({ queryKey: ["/tokens"], queryFn: () => data(client.GET("/tokens")), refetchInterval: 60_000 });
  return (
    <Loaded query={mine}>
      {({ tokens }) => {
        return (
          <TokensTable
            tokens={tokens}
            present={present}
            onEnd={async ({ id }) => {
              await client.DELETE("/tokens/{identifier}", { params: { path: { identifier: id } } });
              if (id === present) {
                forget();
                location.assign("/app/");
                return;
              }
              await queries.invalidateQueries({ queryKey: ["/tokens"] });
            }}
          />
        );
      }}
    </Loaded>
  );
}
