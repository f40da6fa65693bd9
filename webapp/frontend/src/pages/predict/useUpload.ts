/** Sends scans, again by itself where the line was cut, and never makes two predictions of one upload. */

import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data, type Of } from "../../api/client";
import { Problem } from "../../api/problem";
import { telling } from "../../api/upload";
import { PATIENT } from "./patience";
import { formOf, type Scan, unreadable } from "./scans";

interface Attempt {
  scans: readonly Scan[];
  recordNumber: string;
  /** The same for the same upload, however often it is sent. */
  key: string;
}

interface Upload {
  send: (scans: readonly Scan[], recordNumber: string) => void;
  cancel: () => void;
  isPending: boolean;
  /** Which share has been sent, in [0, 1]; null while it waits to be sent again. */
  sent: number | null;
  /** Why it failed; while it is pending, why it is sent again. */
  error: unknown;
  /** Forget the failure. */
  forget: () => void;
  made: Of<"PredictionAnswer"> | undefined;
}

/** Return what sends scans, and how far that is. */
export function useUpload(): Upload {
  const { t } = useTranslation("predict");
  const [sent, setSent] = useState<number | null>(null);
  const attempt = useRef<Attempt | null>(null);
  const control = useRef(new AbortController());
  useEffect(() => () => control.current.abort(), []);

  const sending = useMutation({
    mutationFn: async ({ scans, recordNumber, key, signal }: Attempt & { signal: AbortSignal }) => {
      const form = formOf(scans, recordNumber);
      const tell = (share: number | null): void => {
        if (!signal.aborted) setSent(share);
      };
      tell(0);
      try {
        return await data(
          client.POST("/predict", {
            headers: { "Idempotency-Key": key },
            body: { files: scans.map((one) => one.path) },
            bodySerializer: () => form,
            fetch: telling(form, tell, signal),
          }),
        );
      } catch (error) {
        tell(null);
        const gone = error instanceof Problem && error.kind === "offline" ? await unreadable(scans) : undefined;
        if (gone) throw new Problem(400, t("new.gone", { path: gone.path }), t("new.goneFix"));
        throw error;
      }
    },
    ...PATIENT,
  });

  return {
    send: (scans, recordNumber) => {
      const last = attempt.current;
      if (last?.scans !== scans || last.recordNumber !== recordNumber) {
        attempt.current = { scans, recordNumber, key: crypto.randomUUID() };
      }
      control.current = new AbortController();
      if (attempt.current) sending.mutate({ ...attempt.current, signal: control.current.signal });
    },
    cancel: () => {
      control.current.abort();
      sending.reset();
    },
    isPending: sending.isPending,
    sent,
    error: sending.error ?? sending.failureReason,
    forget: sending.reset,
    made: sending.data,
  };
}
