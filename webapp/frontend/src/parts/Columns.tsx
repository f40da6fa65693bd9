import { Th, Thead, Tr } from "@patternfly/react-table";

interface Column {
  name: string;
  width?: 10 | 15 | 20 | 25 | 30;
  /** The cells say it; only a screen reader needs the name. */
  isHidden?: boolean;
}

interface Props {
  columns: readonly (string | Column)[];
}

/** The names of a table's columns. */
export function Columns({ columns }: Props) {
  return (
    <Thead>
      <Tr>
        {columns
          .map((one) => (typeof one === "string" ? { name: one } : one))
          .map(({ name, width, isHidden }: Column) =>
            isHidden ? (
              <Th key={name} screenReaderText={name} />
            ) : (
              <Th key={name} modifier="wrap" {...(width ? { width } : {})}>
                {name}
              </Th>
            ),
          )}
      </Tr>
    </Thead>
  );
}
