"""What Nginx is told: what it lets pass, to where, and who answers for the rest.

Everything is refused but plain `/v1/fleet/<call>` and `/v1/site/<call>`; the site API is asked about every fleet call,
and answers every refusal, so that each has its reason and is in the audit log.
Source: Mozilla's server-side TLS guidelines, "intermediate".
"""

from pathlib import Path
from string import Template

_CONFIGURATION = Template(r"""
daemon off;
${user}worker_processes 2;
worker_rlimit_nofile 8192;
pid "${home}/run/nginx.pid";
error_log stderr crit;  # lesser ones are for a stranger to cause at will
events { worker_connections 2048; }

http {
  server_tokens off;
  client_body_temp_path "${home}/nginx/body";
  proxy_temp_path "${home}/nginx/proxy";
  fastcgi_temp_path "${home}/nginx/fastcgi";
  uwsgi_temp_path "${home}/nginx/uwsgi";
  scgi_temp_path "${home}/nginx/scgi";

  # Refusals are in the audit log, which an intruder cannot fill; polls would fill this one.
  map "$$status $$uri" $$is_worth_a_line {
    "~^4" 0;
    "~^2.. /v1/fleet/" 0;
    "~^2.. /v1/site/status$$" 0;
    default 1;
  }
  log_format calls '$$time_iso8601 $$remote_addr $$request_method $$uri $$status $$bytes_sent $$request_time';
  access_log "${home}/logs/calls.log" calls if=$$is_worth_a_line;

  # The path as it was sent: no dots, doubled slashes or escapes, which two servers could read in two ways.
  map $$request_uri $$is_plain {
    "~^/v1/fleet/[a-z-]+$$" 1;
    "~^/v1/site/[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*(\?bytes=[0-9]+)?$$" 1;
    default 0;
  }

  map $$uri $$may_pass { /refused/malformed 1; default $$is_plain; }

  # What was asked for, where Nginx itself could make nothing of it.
  map $$request $$sent_method { "~^(?<word>[A-Za-z]+) " $$word; default "-"; }
  map $$request $$sent_target { "~^[^ ]+ +(?<rest>[^ ]+)" $$rest; default "-"; }

  # Of callers without a certificate and of refused ones; sites are not slowed down.
  limit_req_zone $$binary_remote_addr zone=strangers:1m rate=1r/s;
  limit_req_zone $$binary_remote_addr zone=refused:1m rate=50r/s;
  limit_req_status 429;
  limit_req_log_level info;
  limit_conn_zone $$binary_remote_addr zone=connections:1m;
  limit_conn_status 429;
  limit_conn_log_level info;

  upstream site_api {
    server "unix:${home}/run/site-api.sock";
    keepalive 16;
    keepalive_timeout 60s;
  }
  upstream superlink {
    server 127.0.0.1:${superlink_port};
    keepalive 32;
    keepalive_requests 100000;
    keepalive_timeout 3s;  # SuperLink closes after five
  }

  server {
    listen ${listen} ssl http2;
    ssl_certificate "${home}/pki/server.crt";
    ssl_certificate_key "${home}/pki/server.key";
    ssl_client_certificate "${home}/pki/ca.crt";
    ssl_verify_client optional;
    ssl_verify_depth 1;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305;
    ssl_ecdh_curve X25519:prime256v1:secp384r1;
    ssl_prefer_server_ciphers off;
    ssl_session_cache shared:edge:5m;
    ssl_session_tickets off;

    limit_conn connections 256;  # many sites may come from one address
    keepalive_timeout 75s;
    keepalive_requests 100000;
    client_header_timeout 20s;
    client_body_timeout 60s;
    send_timeout 75s;
    reset_timedout_connection on;
    client_max_body_size 64k;

    proxy_http_version 1.1;
    proxy_connect_timeout 5s;
    proxy_send_timeout 75s;
    proxy_read_timeout 75s;

    error_page 401 403 404 405 495 496 = @refused;
    error_page 497 = @plain;
    error_page 400 414 494 = /refused/malformed;
    error_page 413 = @large;
    error_page 429 = @busy;
    error_page 500 502 504 = @down;
    if ($$may_pass = 0) { return 403; }

    location / { return 403; }

    location ~ ^/v1/fleet/ {
      if ($$request_method != POST) { return 403; }
      auth_request /check;
      client_max_body_size 16m;
      # Passed on as it comes, in large pieces: no object of some 5 MB waits here in memory or on disk.
      client_body_buffer_size 512k;
      proxy_request_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 16 64k;
      proxy_max_temp_file_size 0;
      proxy_pass https://superlink;
      proxy_set_header Host localhost;
      proxy_set_header Connection "";
      proxy_set_header X-Client-Verify "";
      proxy_set_header X-Client-Serial "";
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 1;
      proxy_ssl_trusted_certificate "${home}/pki/ca.crt";
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
      proxy_ssl_session_reuse on;
      proxy_ssl_protocols TLSv1.2 TLSv1.3;
    }

    location /v1/site/ {
      proxy_pass http://site_api;
${caller}
    }

    location = /v1/site/transfer {
      client_max_body_size 64m;
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_pass http://site_api;
${caller}
    }

    location = /v1/site/enroll {
      limit_req zone=strangers burst=20;
      proxy_pass http://site_api;
${caller}
    }

    location = /v1/site/ca.crt {
      limit_req zone=strangers burst=20 nodelay;
      if ($$request_method !~ "^(GET|HEAD)$$") { return 403; }
      default_type application/x-pem-file;
      alias "${home}/pki/ca.crt";
    }

    location = /check {
      internal;
      client_max_body_size 0;  # the limit is the call's own; this one looks at its length too
      proxy_method GET;
      proxy_pass_request_headers off;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_pass http://site_api/check;
${caller}
    }
${refusals}
    # No named place as the others: Nginx goes there only with a path, which it has not understood.
    location = /refused/malformed {
      internal;
      limit_req zone=refused burst=100;
      client_max_body_size 0;
      proxy_pass_request_headers off;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_pass http://site_api/refused/malformed;
${malformed}
    }

    location @busy {
      default_type application/json;
      return 429 '{"problem": "Too many calls from this address", "fix": "wait a minute, then try again"}';
    }

    location @down {
      default_type application/json;
      return 503 '{"problem": "The coordinator is starting or stopped", "fix": "try again in a minute"}';
    }
  }

  # The pages, under a name and a certificate of their own: deploy/nginx/web.conf, filled in. Comes last: who asks for
  # no name is a hospital's.
  include "${home}/nginx/web/*.conf";
}
""")
_CALLER = """      proxy_set_header Host localhost;
      proxy_set_header Connection "";
      proxy_set_header X-Client-Verify $ssl_client_verify;
      proxy_set_header X-Client-Serial $ssl_client_serial;
      proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Real-IP $remote_addr;"""
_REFUSAL = Template("""
    location @${why} {
      limit_req zone=refused burst=100;
      rewrite ^ /refused/${why}? break;
      proxy_method GET;
      proxy_pass_request_headers off;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_pass http://site_api;
${caller}
    }
""")
# Why the edge refuses, as it asks the site API for the sentence.
_REFUSALS = ("refused", "plain", "large")


def edge_configuration(home: Path, listen: tuple[str, int], superlink_port: int, user: str | None) -> str:
    """Return nginx.conf, for Nginx 1.22 and newer.

    Args:
        home: the coordinator's home.
        listen: host and port.
        superlink_port: SuperLink's, on loopback.
        user: account and group that workers run as, or None where Nginx is not started by root.
    """
    host, port = listen
    return _CONFIGURATION.substitute(
        home=home,
        user=f"user {user};\n" if user else "",
        listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        superlink_port=superlink_port,
        caller=_CALLER,
        malformed=_CALLER.replace("$request_uri", "$sent_target").replace("$request_method", "$sent_method"),
        refusals="".join(_REFUSAL.substitute(why=why, caller=_CALLER) for why in _REFUSALS),
    ).lstrip()
