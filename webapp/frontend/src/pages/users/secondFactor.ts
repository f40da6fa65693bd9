/** What an address for an authenticator app holds, for those who type it. */

export interface SecondFactor {
  issuer: string;
  account: string;
  /** The secret, in groups of four that can be read aloud. */
  secret: string;
}

/** Return what is typed where no picture can be taken. */
export function typedOf(address: string): SecondFactor {
  const { pathname, searchParams } = new URL(address);
  const label = decodeURIComponent(pathname.slice(pathname.lastIndexOf("/") + 1));
  return {
    issuer: searchParams.get("issuer") ?? "",
    account: label.slice(label.indexOf(":") + 1),
    secret: (searchParams.get("secret") ?? "").replace(/(.{4})(?=.)/g, "$1 "),
  };
}
