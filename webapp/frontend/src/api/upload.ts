/** An upload that tells how far it is: what fetch cannot do, done with XMLHttpRequest behind fetch's own face. */

import { unreachable } from "./problem";

/** Return a fetch that sends a form, from the disk as it goes, and tells which share of it, in [0, 1], has been sent. */
export function telling(
  form: FormData,
  tell: (share: number) => void,
  signal: AbortSignal,
): (request: Request) => Promise<Response> {
  return (request) =>
    new Promise((resolve, reject) => {
      const ended = (): void => reject(new DOMException("The upload was ended", "AbortError"));
      if (signal.aborted) {
        ended();
        return;
      }
      const sending = new XMLHttpRequest();
      sending.open(request.method, request.url);
      sending.responseType = "blob";
      request.headers.forEach((value, name) => {
        // The form names its own boundary.
        if (name !== "content-type") sending.setRequestHeader(name, value);
      });
      sending.upload.onprogress = (event) => tell(event.total ? event.loaded / event.total : 0);
      sending.upload.onload = () => tell(1);
      sending.onload = () => resolve(answerOf(sending));
      sending.onerror = () => reject(unreachable());
      sending.onabort = ended;
      signal.addEventListener("abort", () => sending.abort());
      sending.send(form);
    });
}

function answerOf(sent: XMLHttpRequest): Response {
  const headers = new Headers();
  for (const line of sent.getAllResponseHeaders().trim().split(/\r\n/)) {
    const [name, ...value] = line.split(": ");
    if (name) headers.append(name, value.join(": "));
  }
  return new Response(sent.response, { status: sent.status, headers });
}
