/** An upload that tells how far it is: what fetch cannot do, done with XMLHttpRequest behind fetch's own face. */

import { unreachable } from "./problem";

/** Return a fetch that tells which share of the body, in [0, 1], has been sent. */
export function telling(tell: (share: number) => void, signal: AbortSignal): (request: Request) => Promise<Response> {
  return async (request) => {
    const body = await request.blob();
    return new Promise((resolve, reject) => {
      const sending = new XMLHttpRequest();
      sending.open(request.method, request.url);
      sending.responseType = "blob";
      request.headers.forEach((value, name) => {
        sending.setRequestHeader(name, value);
      });
      sending.upload.onprogress = (event) => tell(event.total ? event.loaded / event.total : 0);
      sending.onload = () => resolve(answerOf(sending));
      sending.onerror = () => reject(unreachable());
      sending.onabort = () => reject(new DOMException("The upload was ended", "AbortError"));
      signal.addEventListener("abort", () => sending.abort());
      sending.send(body);
    });
  };
}

function answerOf(sent: XMLHttpRequest): Response {
  const headers = new Headers();
  for (const line of sent.getAllResponseHeaders().trim().split(/\r\n/)) {
    const [name, ...value] = line.split(": ");
    if (name) headers.append(name, value.join(": "));
  }
  return new Response(sent.response as Blob, { status: sent.status, headers });
}
