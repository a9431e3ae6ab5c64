# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  digest:
    description:
      - The digest of the manifest to take, as in V(sha256:9f86d0…). It takes precedence over everything else.
    type: str
  tag_moved:
    description:
      - What to do when a tag is given beside the digest that pins it, as in V(registry.example.com/app:1.0.0@sha256:…),
        and names another digest by now, or is not there any more. The pinned digest is used in any case.
      - V(ignore) does not ask for the tag, so that a pinned reference takes no request when nothing else is to be done.
      - V(warn) asks, which is one request, and warns. That the registry gives no answer is a warning as well.
      - V(fail) fails with the reason V(TagMoved) before anything is done.
      - Without a digest, or without a tag, it has no effect.
    type: str
    choices: [ignore, warn, fail]
    default: ignore
  semver:
    description:
      - Take the newest tag in this range of versions, as in V(1.x), V(>=1.2.0 <2.0.0), V(~1.4) or V(^2.1.0 || ^3.0.0).
      - The grammar and meaning are those of Masterminds/semver, which Flux and Helm use. Pre-releases are taken only
        when the range names one, as in V(>=1.0.0-0). Tags may begin with C(v); tags that are no version of three
        parts are passed over.
      - A range that looks like a number has to be in quotes, as in V('1.10').
      - Where two tags have the same precedence, the one with the greater build metadata wins, then the one that sorts
        last as text.
      - It takes precedence over O(tag).
    type: str
  semver_filter:
    description:
      - A regular expression that a tag has to match (anywhere in it) to be considered for O(semver).
    type: str
  filter_tags:
    description:
      - Choose among tags in the vocabulary of Flux's ImagePolicy.
      - It takes precedence over O(tag). With O(semver), only O(filter_tags.pattern) and O(filter_tags.extract) may be
        given.
    type: dict
    suboptions:
      pattern:
        description:
          - A regular expression that a tag has to match, anywhere in it.
        type: str
      extract:
        description:
          - What the policy compares, made from the groups of O(filter_tags.pattern), as in V($ts), V(${ts}) or V($1).
            The default is the whole tag.
        type: str
      policy:
        description:
          - How the newest is found, in exactly one of the suboptions.
        type: dict
        suboptions:
          semver:
            description:
              - The highest version in a range.
            type: dict
            suboptions:
              range:
                description:
                  - The range, as in O(semver).
                type: str
                required: true
          numerical:
            description:
              - The last number.
            type: dict
            suboptions:
              order:
                description:
                  - V(asc) takes the highest number, V(desc) the lowest.
                type: str
                choices: [asc, desc]
                default: asc
          alphabetical:
            description:
              - The last text.
            type: dict
            suboptions:
              order:
                description:
                  - V(asc) takes the text that sorts last, V(desc) the one that sorts first.
                type: str
                choices: [asc, desc]
                default: asc
"""
