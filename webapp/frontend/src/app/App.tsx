import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createBrowserRouter, Navigate, type RouteObject } from "react-router";
import { RouterProvider } from "react-router/dom";
import { Problem } from "../api/problem";
import { Broken } from "./Broken";
import { Gate } from "./Gate";
import { Guarded } from "./Guarded";
import { Home } from "./Home";
import { NotFound } from "./NotFound";
import { PLACES } from "./pages";

const HOW_OFTEN = 30;

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // A server that starts again is waited for; what it refuses, it would refuse again.
      retry: (failures, error) => failures < HOW_OFTEN && error instanceof Problem && error.passes,
      retryDelay: (failures, error) =>
        error instanceof Problem && error.retryAfter ? error.retryAfter * 1000 : Math.min(1000 * 2 ** failures, 5000),
      refetchOnWindowFocus: true,
      networkMode: "always",
    },
    mutations: { retry: false, networkMode: "always" },
  },
});

const places: RouteObject[] = PLACES.map(({ path, of, page: Page }) => ({
  path,
  element: (
    <Guarded of={of}>
      <Page />
    </Guarded>
  ),
}));

const router = createBrowserRouter(
  [
    {
      element: <Gate />,
      errorElement: <Broken />,
      children: [
        { index: true, element: <Home /> },
        { path: "/sign-in", element: <Navigate to="/" replace /> },
        ...places,
        { path: "*", element: <NotFound /> },
      ],
    },
  ],
  { basename: "/app" },
);

export function App() {
  return (
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  );
}
