import { Button, Content, Flex, FlexItem } from "@patternfly/react-core";
import { DownloadIcon } from "@patternfly/react-icons/dist/esm/icons/download-icon";
import { useMutation } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { download, type FileName } from "./files";

interface Props {
  identifier: string;
  files: readonly FileName[];
}

/** Takes the viewer's files home, one by one. */
export function Downloads({ identifier, files }: Props) {
  const { t } = useTranslation("result");
  const taking = useMutation({ mutationFn: (name: FileName) => download(identifier, name) });
  return (
    <div className="gliofed-not-printed gliofed-files">
      <Content component="h3">{t("files.title")}</Content>
      <Content component="p">{t("files.told")}</Content>
      {taking.error && <ProblemAlert error={taking.error} onClose={() => taking.reset()} />}
      <Flex>
        {files.map((name) => (
          <FlexItem key={name}>
            <Button
              variant="secondary"
              icon={<DownloadIcon />}
              aria-label={t("files.download", { file: t(`file.${name}`) })}
              isLoading={taking.isPending && taking.variables === name}
              isDisabled={taking.isPending}
              onClick={() => taking.mutate(name)}
            >
              {t(`file.${name}`)}
            </Button>
          </FlexItem>
        ))}
      </Flex>
    </div>
  );
}
