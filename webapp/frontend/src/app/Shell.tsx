import {
  Alert,
  Button,
  FormSelect,
  FormSelectOption,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadLogo,
  MastheadMain,
  MastheadToggle,
  Nav,
  NavItem,
  NavList,
  Page,
  PageSection,
  PageSidebar,
  PageSidebarBody,
  PageToggleButton,
  SkipToContent,
  Toolbar,
  ToolbarContent,
  ToolbarGroup,
  ToolbarItem,
} from "@patternfly/react-core";
import { BarsIcon } from "@patternfly/react-icons/dist/esm/icons/bars-icon";
import { type ReactNode, Suspense } from "react";
import { useTranslation } from "react-i18next";
import { NavLink, useLocation } from "react-router";
import { Busy } from "../parts/Busy";
import { LANGUAGES, type Language, speak } from "../texts";
import { SCHEMES, type Scheme } from "./colors";
import { pagesFor } from "./pages";
import { signOut, type Who } from "./session";

interface Props {
  who: Who;
  colors: [Scheme, (scheme: Scheme) => void];
  children: ReactNode;
}

const MAIN = "main";

async function leave(): Promise<void> {
  try {
    await signOut();
  } finally {
    // A page that is loaded anew remembers nobody.
    location.assign("/app/");
  }
}

/** What stands around every page. */
export function Shell({ who, colors: [scheme, setScheme], children }: Props) {
  const { t, i18n } = useTranslation();
  const { pathname } = useLocation();
  const pages = pagesFor(who);
  const here = pages.filter((one) => pathname.startsWith(one.path)).sort((a, b) => b.path.length - a.path.length)[0];
  const masthead = (
    <Masthead>
      <MastheadMain>
        <MastheadToggle>
          <PageToggleButton isHamburgerButton aria-label={t("menu")}>
            <BarsIcon />
          </PageToggleButton>
        </MastheadToggle>
        <MastheadBrand>
          <MastheadLogo component="span">
            <strong className="gliofed-brand">{t("product")}</strong>
          </MastheadLogo>
        </MastheadBrand>
      </MastheadMain>
      <MastheadContent>
        <Toolbar isFullHeight isStatic>
          <ToolbarContent>
            <ToolbarGroup align={{ default: "alignEnd" }}>
              <ToolbarItem className="gliofed-only-wide">
                {t("signedInAs", { user: who.user, role: t(`role.${who.role}`) })}
              </ToolbarItem>
              <ToolbarItem>
                <FormSelect
                  aria-label={t("language")}
                  value={i18n.language}
                  onChange={(_event, value) => speak(value as Language)}
                >
                  {Object.entries(LANGUAGES).map(([code, name]) => (
                    <FormSelectOption key={code} value={code} label={name} />
                  ))}
                </FormSelect>
              </ToolbarItem>
              <ToolbarItem>
                <FormSelect
                  aria-label={t("colors")}
                  value={scheme}
                  onChange={(_event, value) => setScheme(value as Scheme)}
                >
                  {SCHEMES.map((one) => (
                    <FormSelectOption key={one} value={one} label={t(`colorScheme.${one}`)} />
                  ))}
                </FormSelect>
              </ToolbarItem>
              <ToolbarItem>
                <Button variant="secondary" onClick={() => void leave()}>
                  {t("signOut")}
                </Button>
              </ToolbarItem>
            </ToolbarGroup>
          </ToolbarContent>
        </Toolbar>
      </MastheadContent>
    </Masthead>
  );
  const sidebar = (
    <PageSidebar>
      <PageSidebarBody>
        <Nav aria-label={t("navigation")}>
          <NavList>
            {pages.map((one) => (
              <NavItem key={one.name} itemId={one.name} isActive={one === here}>
                <NavLink to={one.path} end aria-current={one === here ? "page" : undefined}>
                  {t(`page.${one.name}`)}
                </NavLink>
              </NavItem>
            ))}
          </NavList>
        </Nav>
      </PageSidebarBody>
    </PageSidebar>
  );
  return (
    <Page
      masthead={masthead}
      sidebar={sidebar}
      isManagedSidebar
      mainContainerId={MAIN}
      mainAriaLabel={t("product")}
      skipToContent={<SkipToContent href={`#${MAIN}`}>{t("skipToContent")}</SkipToContent>}
    >
      {who.role === "clinician" && (
        <PageSection padding={{ default: "noPadding" }} className="gliofed-notice">
          <Alert variant="info" isInline isPlain title={t("researchOnly")} />
        </PageSection>
      )}
      <Suspense fallback={<Busy />}>{children}</Suspense>
    </Page>
  );
}
