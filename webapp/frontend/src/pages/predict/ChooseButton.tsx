import { Button } from "@patternfly/react-core";
import { useRef } from "react";

interface Props {
  variant: "primary" | "secondary";
  label: string;
  /** Whole folders instead of files. */
  ofFolders?: boolean;
  onChoose: (files: readonly File[]) => void;
}

/** A button that opens the browser's own window to choose files, or a folder with everything in it. */
export function ChooseButton({ label, ofFolders = false, onChoose, variant }: Props) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button variant={variant} onClick={() => input.current?.click()}>
        {label}
      </Button>
      <input
        ref={input}
        type="file"
        hidden
        multiple
        {...(ofFolders && { webkitdirectory: "" })}
        aria-label={label}
        onChange={(event) => {
          onChoose([...(event.target.files ?? [])]);
          // The same ones can be chosen again.
          event.target.value = "";
        }}
      />
    </>
  );
}
