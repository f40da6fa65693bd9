import type { ComponentProps } from "react";
import { Facts as Named } from "../../parts/Facts";

const NAMES = { default: "22ch" } as const;

/** What is so, by name, in columns that are as wide in every card. */
export function Facts({ facts }: Pick<ComponentProps<typeof Named>, "facts">) {
  return <Named facts={facts} names={NAMES} />;
}
