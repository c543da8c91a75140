// Where it begins.
import { render } from "preact";
import { App } from "./app";
import "./style.css";

// A part that an update of the gateway has replaced is not there any more.
addEventListener("vite:preloadError", (event) => {
  event.preventDefault();
  location.reload();
});

const place = document.getElementById("app");
if (place) render(<App />, place);
