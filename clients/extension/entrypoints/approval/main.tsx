import { render } from "preact";
import { Approval } from "../../src/ui/approval";
import "../../src/ui/style.css";

render(<Approval />, document.getElementById("app")!);
