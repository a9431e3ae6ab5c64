# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS: moto's server, which checks signatures and rights against the users and roles made here, and before it what moto
takes too easily (the instance metadata service, container credentials, web identity) or lacks (the public ECR).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._cloud.emulator import (
    Emulator,
    Refused,
    form_of,
    key,
    reply,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import Answer, Seen

ACCOUNT = "123456789012"
REGION = "eu-west-1"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
# what moto's GetAuthorizationToken gives, as a line for htpasswd (bcrypt at its lowest cost)
PASSWORD = f"{ACCOUNT}-auth-token"
HTPASSWD = "AWS:$2a$04$d87kePe6QpYPqhZkVH3Szef2OK7Mbx8oXTFrhUZbr0HmcBQ.flfym"
CONTAINER_TOKEN = "odd-token.of~the+container"
ROLE = "pull-role"

_ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}]}
_SIGV4 = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<scope>[^,]+), ?SignedHeaders=(?P<headers>[^,]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})\Z"
)


class Aws(Emulator):
    """``moto`` is the URL of moto's server; the rest is on this one. Use :func:`aws`."""

    def __init__(self, moto: str) -> None:
        super().__init__()
        self.moto = moto
        settings = {"endpoint_url": moto, "region_name": REGION}
        self._admin = {**settings, "aws_access_key_id": "admin", "aws_secret_access_key": "admin-secret"}
        iam = boto3.client("iam", **self._admin)
        self.key_id, self.secret_key = self._user(iam, "puller", _ALLOW)
        self.poor_key_id, self.poor_secret_key = self._user(iam, "stranger", None)
        role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(_ALLOW))["Role"]
        iam.put_role_policy(RoleName=ROLE, PolicyName="ecr", PolicyDocument=json.dumps(_ALLOW))
        self.role_arn = role["Arn"]
        sts = boto3.client("sts", **self._admin)
        self.role_keys = sts.assume_role(RoleArn=self.role_arn, RoleSessionName="emulator")["Credentials"]
        self._metadata_tokens: set[str] = set()

    @staticmethod
    def _user(iam: Any, name: str, policy: dict[str, Any] | None) -> tuple[str, str]:
        iam.create_user(UserName=name)
        if policy:
            iam.put_user_policy(UserName=name, PolicyName="ecr", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]

    def environment(self, **more: str) -> dict[str, str]:
        """The endpoints, and nothing that gives an identity."""
        nowhere = "/nonexistent/aws"
        return {
            "AWS_ENDPOINT_URL_ECR": self.moto,
            "AWS_ENDPOINT_URL_ECR_PUBLIC": self.url,
            "AWS_ENDPOINT_URL_STS": self.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def user(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.key_id, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def route(self, seen: Seen) -> Answer | None:
        if seen.path.startswith("/latest/"):
            return self._instance_metadata(seen)
        if seen.path == "/container":
            if seen.authorization != CONTAINER_TOKEN:
                raise Refused(401, code="AuthorizationFailed", message="not for you")
            return reply(self._role_document())
        if seen.headers.get("X-Amz-Target") == "SpencerFrontendService.GetAuthorizationToken":
            return self._public_token(seen)
        if seen.method == "POST" and b"Action=AssumeRoleWithWebIdentity" in seen.body:
            return self._web_identity(seen)
        return None

    def _role_document(self) -> dict[str, str]:
        keys = self.role_keys
        return {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": keys["AccessKeyId"],
            "SecretAccessKey": keys["SecretAccessKey"],
            "Token": keys["SessionToken"],
            "Expiration": keys["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _instance_metadata(self, seen: Seen) -> Answer:
        """Version 2: no token, no answer."""
        if seen.method == "PUT" and seen.path == "/latest/api/token":
            if not 0 < int(seen.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "0")) <= 21600:
                raise Refused(400)
            token = secrets.token_urlsafe(40)
            self._metadata_tokens.add(token)
            return Answer(200, {"Content-Type": "text/plain"}, token.encode())
        if seen.headers.get("X-aws-ec2-metadata-token") not in self._metadata_tokens:
            raise Refused(401)
        if seen.path == "/latest/meta-data/iam/security-credentials/":
            return Answer(200, {"Content-Type": "text/plain"}, ROLE.encode())
        if seen.path == f"/latest/meta-data/iam/security-credentials/{ROLE}":
            return reply(self._role_document())
        raise Refused(404)

    def _web_identity(self, seen: Seen) -> Answer:
        form = form_of_any_charset(seen)
        _header, claims = key("cluster").verify(form["WebIdentityToken"], "RS256")
        if claims.get("aud") != "sts.amazonaws.com" or form["RoleArn"] != self.role_arn:
            return Answer(400, {"Content-Type": "text/xml"}, _STS_ERROR.encode())
        found = self._role_document()
        values = "".join(
            f"<{name}>{found[source]}</{name}>"
            for name, source in (
                ("AccessKeyId", "AccessKeyId"),
                ("SecretAccessKey", "SecretAccessKey"),
                ("SessionToken", "Token"),
                ("Expiration", "Expiration"),
            )
        )
        return Answer(200, {"Content-Type": "text/xml"}, _STS_ANSWER.format(values).encode())

    def _public_token(self, seen: Seen) -> Answer:
        self._check_signature(seen, "ecr-public")
        token = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
        return reply({"authorizationData": {"authorizationToken": token, "expiresAt": 4102444800}})

    def _check_signature(self, seen: Seen, service: str) -> None:
        """Signature Version 4 (AWS General Reference), by the key of the user."""
        match = _SIGV4.match(seen.authorization)
        if not match or match["key"] != self.key_id:
            raise Refused(400, __type="UnrecognizedClientException", message="The security token is invalid.")
        day, region, name, end = match["scope"].split("/")
        if (region, name, end) != ("us-east-1", service, "aws4_request"):
            raise Refused(400, __type="InvalidSignatureException", message=f"Credential should be scoped to {service}")
        headers = "".join(f"{header}:{seen.headers[header].strip()}\n" for header in match["headers"].split(";"))
        hashed = hashlib.sha256(seen.body).hexdigest()
        request = "\n".join([seen.method, seen.path, "", headers, match["headers"], hashed])
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256", seen.headers["X-Amz-Date"], match["scope"], digest])
        signing = b"AWS4" + self.secret_key.encode()
        for part in (day, region, name, end, text):
            signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(signing.hex(), match["signature"]):
            message = f"The request signature we calculated does not match. The Canonical String was {request}"
            raise Refused(403, __type="InvalidSignatureException", message=message)


def form_of_any_charset(seen: Seen) -> dict[str, str]:
    seen.headers.replace_header("Content-Type", seen.headers["Content-Type"].partition(";")[0])
    return form_of(seen)


_STS_ERROR = (
    '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
    "<Code>InvalidIdentityToken</Code><Message>Incorrect token audience</Message></Error></ErrorResponse>"
)
_STS_ANSWER = (
    '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    "<AssumeRoleWithWebIdentityResult><Credentials>{}</Credentials></AssumeRoleWithWebIdentityResult>"
    "</AssumeRoleWithWebIdentityResponse>"
)


@contextmanager
def aws() -> Iterator[Aws]:
    """The emulator, with moto's server started for it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        with Aws(url) as emulator:
            # from here on every request has to be signed, by somebody with the right
            _post(url + "/moto-api/reset-auth", b"0")
            yield emulator
            _post(url + "/moto-api/reset-auth", b"inf")
            _post(url + "/moto-api/reset", b"")
    finally:
        server.stop()


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60):
        pass
