"""Make the certificate that Nginx shows for the pages of a folder, where there is none yet."""

import sys
from pathlib import Path

from webapp.serving import development_certificate, load_web

if __name__ == "__main__":
    development_certificate(load_web(Path(sys.argv[1])))
