import { Content, Flex, FlexItem, PageSection, Title } from "@patternfly/react-core";
import { type ReactNode, useEffect } from "react";
import { useTranslation } from "react-i18next";

interface Props {
  title: string;
  lead?: ReactNode;
  /** What can be done with the whole page. */
  actions?: ReactNode;
}

/** A page's heading, which names the browser's tab too. */
export function PageTitle({ title, lead, actions }: Props) {
  const { t } = useTranslation();
  useEffect(() => {
    document.title = `${title} · ${t("product")}`;
  }, [title, t]);
  return (
    <PageSection>
      <Flex justifyContent={{ default: "justifyContentSpaceBetween" }} alignItems={{ default: "alignItemsFlexStart" }}>
        <FlexItem>
          <Title headingLevel="h1" size="2xl">
            {title}
          </Title>
          {lead && <Content component="p">{lead}</Content>}
        </FlexItem>
        {actions && <FlexItem className="gliofed-not-printed">{actions}</FlexItem>}
      </Flex>
    </PageSection>
  );
}
