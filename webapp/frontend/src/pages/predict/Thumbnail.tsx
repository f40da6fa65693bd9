import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { client, data } from "../../api/client";
import type { Series } from "./draft";

interface Props {
  prediction: string;
  series: Series | undefined;
  alt: string;
  isSmall?: boolean;
}

/** The middle slice of a series; asked for as everything else, since an image's own request cannot open a patient. */
export function Thumbnail({ prediction, series, alt, isSmall = false }: Props) {
  const key = series?.thumbnail ? series.key : undefined;
  const picture = useQuery({
    queryKey: ["thumbnails", prediction, key],
    queryFn: () => thumbnailOf(prediction, key ?? ""),
    enabled: key !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const [address, setAddress] = useState<string>();
  useEffect(() => {
    if (!picture.data) return;
    const made = URL.createObjectURL(picture.data);
    setAddress(made);
    return () => {
      setAddress(undefined);
      URL.revokeObjectURL(made);
    };
  }, [picture.data]);
  const side = isSmall ? "4rem" : "10rem";
  const box = { width: side, height: side, background: "var(--pf-t--global--background--color--secondary--default)" };
  if (!address) return <div style={box} />;
  return <img src={address} alt={alt} style={{ ...box, objectFit: "contain", background: "black" }} />;
}

function thumbnailOf(identifier: string, series: string): Promise<Blob> {
  return data(
    client.GET("/predict/{identifier}/thumbnails/{series}", {
      params: { path: { identifier, series } },
      parseAs: "blob",
    }),
  );
}
