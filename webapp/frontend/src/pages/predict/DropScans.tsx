import { Alert, Flex, MultipleFileUpload, MultipleFileUploadMain, Stack, StackItem } from "@patternfly/react-core";
import { FolderOpenIcon } from "@patternfly/react-icons/dist/esm/icons/folder-open-icon";
import { useTranslation } from "react-i18next";
import { bytesOf } from "../../parts/format";
import { ChooseButton } from "./ChooseButton";

interface Props {
  /** Bytes that the server takes. */
  most: number;
  /** What there is to say of what was chosen or sent last. */
  notice: string | null;
  onChoose: (files: readonly File[]) => void;
  /** What was dropped cannot be read. */
  onFail: () => void;
}

/** Where a folder or files are dropped or chosen. */
export function DropScans({ most, notice, onChoose, onFail }: Props) {
  const { t } = useTranslation("predict");
  return (
    <Stack hasGutter>
      {notice && (
        <StackItem>
          <Alert variant="warning" isInline isLiveRegion component="p" title={notice} />
        </StackItem>
      )}
      <StackItem>
        <MultipleFileUpload dropzoneProps={{ noKeyboard: true, onDrop: (files) => onChoose(files), onError: onFail }}>
          <MultipleFileUploadMain
            titleIcon={<FolderOpenIcon />}
            titleText={t("new.drop")}
            infoText={
              <Stack hasGutter>
                <StackItem>{t("new.takes", { size: bytesOf(most) })}</StackItem>
                <StackItem>
                  <Flex justifyContent={{ default: "justifyContentCenter" }}>
                    <ChooseButton variant="primary" label={t("new.chooseFolder")} ofFolders onChoose={onChoose} />
                    <ChooseButton variant="secondary" label={t("new.chooseFiles")} onChoose={onChoose} />
                  </Flex>
                </StackItem>
              </Stack>
            }
            isUploadButtonHidden
          />
        </MultipleFileUpload>
      </StackItem>
    </Stack>
  );
}
