// @vitest-environment jsdom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeAll, expect, it, vi } from "vitest";
import { Problem } from "../../api/problem";
import { startTexts } from "../../texts";

const signIn = vi.hoisted(() => vi.fn());
vi.mock("../../app/session", () => ({ signIn }));

import { SignInForm } from "./SignInForm";

beforeAll(startTexts);
afterEach(() => {
  cleanup();
  signIn.mockReset();
});

function open(name?: string): { enter: ReturnType<typeof vi.fn> } {
  const enter = vi.fn();
  render(
    <QueryClientProvider client={new QueryClient()}>
      <SignInForm onEnter={enter} {...(name ? { name } : {})} />
    </QueryClientProvider>,
  );
  return { enter };
}

const type = (label: RegExp, text: string): boolean =>
  fireEvent.change(screen.getByLabelText(label), { target: { value: text } });
const button = (): HTMLButtonElement => screen.getByRole("button", { name: /Sign in/ });

it("can be sent once there are a name, a password and six digits, however they are spaced", async () => {
  signIn.mockResolvedValue({ user: "anna" });
  const { enter } = open();
  type(/User name/, "anna");
  type(/Password/, "secret");
  type(/Code/, "12345");
  expect(button().disabled).toBe(true);
  type(/Code/, " 123 456 ");
  expect(button().disabled).toBe(false);
  fireEvent.click(button());
  await waitFor(() => expect(enter).toHaveBeenCalledOnce());
  expect(signIn).toHaveBeenCalledWith("anna", "secret", "123456");
});

it("keeps name and password after a refusal, and asks for another code", async () => {
  signIn.mockRejectedValue(new Problem(401, "The sign-in failed", "check name, password and code"));
  open("anna");
  type(/Password/, "secret");
  type(/Code/, "123456");
  fireEvent.click(button());
  await screen.findByText("The sign-in failed");
  expect((screen.getByLabelText(/User name/) as HTMLInputElement).value).toBe("anna");
  expect((screen.getByLabelText(/Password/) as HTMLInputElement).value).toBe("secret");
  expect((screen.getByLabelText(/Code/) as HTMLInputElement).value).toBe("");
});
