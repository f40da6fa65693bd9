import {
  Breadcrumb,
  BreadcrumbItem,
  Card,
  CardBody,
  Flex,
  FlexItem,
  Form,
  FormGroup,
  FormSelect,
  FormSelectOption,
  PageBreadcrumb,
  PageSection,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { Loaded } from "../../parts/Loaded";
import { PageTitle } from "../../parts/PageTitle";
import { CompareTable } from "./CompareTable";
import { versionsQuery } from "./queries";

const SIDES = ["a", "b"] as const;

/** Two versions' cards beside each other. */
export default function Compare() {
  const { t } = useTranslation("versions");
  const { t: tc } = useTranslation();
  const versions = useQuery(versionsQuery);
  const [params, setParams] = useSearchParams();
  const [a, b] = [params.get("a") ?? "", params.get("b") ?? ""];
  const names = versions.data?.versions.map((one) => one.name) ?? [];
  return (
    <>
      <PageBreadcrumb>
        <Breadcrumb aria-label={t("breadcrumb")}>
          <BreadcrumbItem
            render={({ className }) => (
              <Link className={className} to="/versions">
                {tc("page.versions")}
              </Link>
            )}
          />
          <BreadcrumbItem isActive>{t("compare.title")}</BreadcrumbItem>
        </Breadcrumb>
      </PageBreadcrumb>
      <PageTitle title={t("compare.title")} lead={t("compare.lead")} />
      <PageSection>
        <Stack hasGutter>
          <StackItem>
            <Loaded query={versions}>
              {() => (
                <Form>
                  <Flex>
                    {SIDES.map((side) => (
                      <FlexItem key={side} flex={{ default: "flex_1" }}>
                        <FormGroup label={t(`compare.${side}`)} fieldId={`compare-${side}`}>
                          <FormSelect
                            id={`compare-${side}`}
                            value={side === "a" ? a : b}
                            onChange={(_event, name) => setParams({ a, b, [side]: name }, { replace: true })}
                          >
                            <FormSelectOption value="" label={t("compare.choose")} isPlaceholder isDisabled />
                            {names.map((name) => (
                              <FormSelectOption
                                key={name}
                                value={name}
                                label={name}
                                isDisabled={name === (side === "a" ? b : a)}
                              />
                            ))}
                          </FormSelect>
                        </FormGroup>
                      </FlexItem>
                    ))}
                  </Flex>
                </Form>
              )}
            </Loaded>
          </StackItem>
          {a && b && a !== b && (
            <StackItem>
              <Card>
                <CardBody>
                  <CompareTable a={a} b={b} />
                </CardBody>
              </Card>
            </StackItem>
          )}
        </Stack>
      </PageSection>
    </>
  );
}
