"""Say by the exit code whether an address answers well over a TLS that an authority vouches for: answers.py URL CA."""

import ssl
import sys
import urllib.request

if __name__ == "__main__":
    url, authority = sys.argv[1:]
    urllib.request.urlopen(url, context=ssl.create_default_context(cafile=authority), timeout=15).close()
