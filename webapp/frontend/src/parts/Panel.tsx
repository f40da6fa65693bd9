import { Card, CardBody, CardTitle } from "@patternfly/react-core";
import type { ReactNode } from "react";

interface Props {
  title: string;
  children: ReactNode;
}

/** A part of a page under its own heading. */
export function Panel({ title, children }: Props) {
  return (
    <Card component="section" isFullHeight>
      <CardTitle component="h2">{title}</CardTitle>
      <CardBody>{children}</CardBody>
    </Card>
  );
}
