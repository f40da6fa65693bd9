import "@patternfly/react-core/dist/styles/base.css";
import "./styles.css";
import { createRoot } from "react-dom/client";
import { App } from "./app/App";
import { startTexts } from "./texts";

const root = document.getElementById("root");
if (root) {
  startTexts();
  createRoot(root).render(<App />);
}
