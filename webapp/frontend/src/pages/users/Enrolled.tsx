import {
  Alert,
  Bullseye,
  Button,
  ClipboardCopy,
  Content,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { QRCodeSVG } from "qrcode.react";
import { useTranslation } from "react-i18next";
import { noEscape } from "../../parts/noEscape";
import { typedOf } from "./secondFactor";

export interface NewFactor {
  name: string;
  /** What the authenticator app takes. */
  address: string;
}

interface Props {
  factor: NewFactor;
  onClose: () => void;
}

/** A second factor for the only time that it is shown; only its own button closes this. */
export function Enrolled({ factor: { name, address }, onClose }: Props) {
  const { t } = useTranslation("users");
  const { t: tc } = useTranslation();
  const { issuer, account, secret } = typedOf(address);
  return (
    <Modal isOpen variant="medium" aria-labelledby="factor-title" aria-describedby="factor-body" onKeyDown={noEscape}>
      <ModalHeader title={t("factorTitle", { name })} labelId="factor-title" />
      <ModalBody id="factor-body">
        <Stack hasGutter>
          <StackItem>
            <Alert variant="warning" component="h2" isInline title={t("factorOnce")}>
              {t("factorOnceBody")}
            </Alert>
          </StackItem>
          <StackItem>
            <Content component="p">{t("factorScan", { name })}</Content>
          </StackItem>
          <StackItem>
            <Bullseye>
              {/* Black on white with a margin of four, in either color scheme: cameras want it so. */}
              <QRCodeSVG
                value={address}
                size={240}
                level="M"
                marginSize={4}
                bgColor="#ffffff"
                fgColor="#000000"
                title={t("factorPicture", { name })}
              />
            </Bullseye>
          </StackItem>
          <StackItem>
            <Content component="p">{t("factorType")}</Content>
            <DescriptionList isHorizontal isCompact>
              <DescriptionListGroup>
                <DescriptionListTerm>{t("factorAccount")}</DescriptionListTerm>
                <DescriptionListDescription>
                  {issuer}: {account}
                </DescriptionListDescription>
              </DescriptionListGroup>
              <DescriptionListGroup>
                <DescriptionListTerm>{t("factorSecret")}</DescriptionListTerm>
                <DescriptionListDescription>
                  <ClipboardCopy
                    variant="inline-compact"
                    isCode
                    isReadOnly
                    hoverTip={tc("copy")}
                    clickTip={tc("copied")}
                    textAriaLabel={t("factorSecret")}
                  >
                    {secret}
                  </ClipboardCopy>
                </DescriptionListDescription>
              </DescriptionListGroup>
            </DescriptionList>
          </StackItem>
        </Stack>
      </ModalBody>
      <ModalFooter>
        <Button onClick={onClose}>{t("factorDone")}</Button>
      </ModalFooter>
    </Modal>
  );
}
