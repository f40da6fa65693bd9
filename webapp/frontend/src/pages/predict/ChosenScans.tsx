import { Button } from "@patternfly/react-core";
import { TrashIcon } from "@patternfly/react-icons/dist/esm/icons/trash-icon";
import { Caption, Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { bytesOf } from "../../parts/format";
import { bytesIn, type Group, groupsOf, type Scan, without } from "./scans";

interface Props {
  scans: readonly Scan[];
  isLocked: boolean;
  onChange: (scans: readonly Scan[]) => void;
}

// More single files than these are only counted.
const NAMED = 6;

/** What will be sent, folder by folder. */
export function ChosenScans({ scans, isLocked, onChange }: Props) {
  const { t, i18n } = useTranslation("predict");
  const number = new Intl.NumberFormat(i18n.language);
  const nameOf = ({ folder, scans: members }: Group): string => {
    if (folder) return folder;
    return members.length > NAMED ? t("new.single") : members.map((one) => one.path).join(", ");
  };
  return (
    <Table variant="compact">
      <Caption>{t("new.total", { count: scans.length, size: bytesOf(bytesIn(scans)) })}</Caption>
      <Thead>
        <Tr>
          <Th width={50}>{t("new.name")}</Th>
          <Th>{t("new.files")}</Th>
          <Th>{t("new.size")}</Th>
          <Th screenReaderText={t("new.remove")} />
        </Tr>
      </Thead>
      <Tbody>
        {groupsOf(scans).map((group) => (
          <Tr key={group.folder}>
            <Td dataLabel={t("new.name")} modifier="breakWord">
              {nameOf(group)}
            </Td>
            <Td dataLabel={t("new.files")}>{number.format(group.scans.length)}</Td>
            <Td dataLabel={t("new.size")}>{bytesOf(group.bytes)}</Td>
            <Td isActionCell>
              <Button
                variant="plain"
                icon={<TrashIcon />}
                aria-label={t("new.removeOne", { name: nameOf(group) })}
                isDisabled={isLocked}
                onClick={() => onChange(without(scans, group.folder))}
              />
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}
