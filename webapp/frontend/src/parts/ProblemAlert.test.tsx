// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Problem, unreachable } from "../api/problem";
import { startTexts } from "../texts";
import { ProblemAlert, sentenceOf } from "./ProblemAlert";

beforeAll(startTexts);
afterEach(cleanup);

describe("a failure as it is shown", () => {
  it("says what the server says, as sentences, and can be tried again", () => {
    const again = vi.fn();
    render(<ProblemAlert error={new Problem(422, "Two patients", "send one patient's scans")} onRetry={again} />);
    expect(screen.getByText("Two patients")).toBeTruthy();
    expect(screen.getByText("Send one patient's scans.")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(again).toHaveBeenCalledOnce();
  });

  it("says when to come back to a server that has too much to do", () => {
    render(<ProblemAlert error={new Problem(429, "", "", 30)} />);
    expect(screen.getByText("Try again in 30 seconds.")).toBeTruthy();
  });

  it("shows nothing of an error of the page itself, which may hold a patient's data", () => {
    const { container } = render(<ProblemAlert error={new Error("Yılmaz^Ayşe")} />);
    expect(container.textContent).not.toContain("Ayşe");
    expect(screen.getByText("Something went wrong on this page")).toBeTruthy();
  });

  it("tells that no network is there in the page's own words", () => {
    render(<ProblemAlert error={unreachable()} />);
    expect(screen.getByText("The server cannot be reached")).toBeTruthy();
  });
});

describe("a sentence", () => {
  it("begins with a capital and ends with a period, if it does not yet", () => {
    expect(sentenceOf("try again")).toBe("Try again.");
    expect(sentenceOf("Is it there?")).toBe("Is it there?");
  });
});
