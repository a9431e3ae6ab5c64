// Copyright (c) 2026, the cloudnative.artifacts authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command semver-oracle asks Masterminds/semver, the library of Flux and Helm, what ranges and versions mean, and
// writes the answers as a test fixture. With -check FILE it compares a table of expected rows with the library.
//
//	go run . > ../../unit/plugins/module_utils/_oci/fixtures/semver/masterminds.json
//	go run . -check ../../unit/plugins/module_utils/_oci/fixtures/semver/cases.json
//
// The random rows come from a fixed seed: the same library gives the same bytes.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

type table struct {
	Check []struct {
		Constraint string `json:"constraint"`
		Version    string `json:"version"`
		Expect     bool   `json:"expect"`
	} `json:"check"`
	Invalid []string `json:"invalid_constraints"`
	Valid   []string `json:"valid_constraints"`
}

// fixture is what the tests read. Each range row is [text, bits]: bit i of the hexadecimal number, counted from the
// left, says whether versions[i] satisfies the range.
type fixture struct {
	About    string      `json:"about"`
	Library  string      `json:"library"`
	Versions []string    `json:"versions"`
	Ranks    []int       `json:"ranks"` // precedence, lowest first; equal numbers are equal versions
	NoVer    []string    `json:"not_versions"`
	Ranges   [][2]string `json:"ranges"`
	NoRange  []string    `json:"not_ranges"`
	Expand   [][4]string `json:"expand"`   // pattern, template, tag, regexp.ExpandString
	Numbers  [][2]string `json:"numbers"`  // text, strconv.ParseFloat ("" when it is an error)
	Patterns []string    `json:"patterns"` // expressions that regexp.Compile takes
	Matches  [][3]string `json:"matches"`  // pattern, tag, "1" when MatchString
}

func check(path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	var rows table
	if err := json.Unmarshal(data, &rows); err != nil {
		log.Fatal(err)
	}
	bad := 0
	complain := func(format string, args ...any) {
		bad++
		fmt.Printf(format+"\n", args...)
	}
	for _, row := range rows.Check {
		constraint, err := semver.NewConstraint(row.Constraint)
		if err != nil {
			complain("%q is no range here: %v", row.Constraint, err)
			continue
		}
		version, err := semver.NewVersion(row.Version)
		if err != nil {
			complain("%q is no version here: %v", row.Version, err)
			continue
		}
		if got := constraint.Check(version); got != row.Expect {
			complain("%q with %q is %v here", row.Constraint, row.Version, got)
		}
	}
	for _, text := range rows.Invalid {
		if _, err := semver.NewConstraint(text); err == nil {
			complain("%q is a range here", text)
		}
	}
	for _, text := range rows.Valid {
		if _, err := semver.NewConstraint(text); err != nil {
			complain("%q is no range here: %v", text, err)
		}
	}
	fmt.Printf("%s: %d rows, %d contradicted\n", library(), len(rows.Check)+len(rows.Invalid)+len(rows.Valid), bad)
}

func library() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if strings.HasPrefix(module.Path, "github.com/Masterminds/semver") {
			return module.Path + " " + module.Version
		}
	}
	return "unknown"
}

var versionSeeds = strings.Fields(`0 1 2 11 v1 0.0 1.1 1.2 2.0 v0.2 0.0.0 0.0.1 0.0.2 0.0.3 0.1.0 0.1.4 0.2.0 0.2.3 0.2.4 0.3.0
	1.0.0 1.0.1 1.1.0 1.1.1 1.1.500 1.2.0 1.2.2 1.2.3 v1.2.3 01.02.03 1.2.4 1.3.0 1.10.0 1.9.9 2.0.0 2.1.1 2.9.9 3.0.0 3.7.0 4.1.0
	4.1.3 4.6.3 9.9.9 11.0.2 11.1.0 11.1.1 2024.01.05 2024.2.3 20240105.0.0
	0.0.0-0 0.0.0-alpha 0.0.1-alpha 0.2.3-beta.2 0.2.3-beta.4 1-alpha 1.2-beta.5 1.0.0-0 1.0.0-1 1.0.0-2 1.0.0-10 1.0.0-1a
	1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0-- 1.0.0--1 1.0.0-A 1.0.0-a.0
	1.0.0-18446744073709551615 1.0.0-18446744073709551616 1.0.0-99999999999999999999 1.0.1-beta 1.1.1-alpha 1.2.0-alpha.1
	1.2.1-beta1 1.2.3-rc.1 1.2.3-rc.1+b 1.2.3-beta.2 1.2.3-x 1.2.4-beta.2 1.3.0-rc.1 1.3.4-beta.2 1.5.0-alpha 2.0.0-0 2.0.0-rc.1
	2.0.0-beta 4.1.0-alpha 4.1.1-alpha 5.1.0-alpha.1 6.1.0-rc.1 6.1.6-rc.1 6.2.0
	1.2.3+a 1.2.3+b.1 1.2.3+001 v1.2.3+A-b 18446744073709551615.0.0 0.18446744073709551615.18446744073709551615
	99999999999999.0.0 1.2.3-a-b.c-d.0.x-1 1.2.3-0a.00a`)

var notVersions = []string{"", " ", "v", "V1.2.3", "vv1", "1.", "1.2.", ".1", "1..2", "1.2.3.4", "1.2.3-", "1.2.3+", "1.2.3-01",
	"1.2.3-rc.01", "1.2.3-rc..1", "1.2.3-.", "1.2.3_a", "1.2.3+a+b", "1.2.3+a_b", "1.2.3-a_b", " 1.2.3", "1.2.3 ", "1.2.3\n",
	"1.2.3-a\n", "1.2.3+a\n", "18446744073709551616", "1.18446744073709551616", "1.2.18446744073709551616",
	"99999999999999999999.0.0", "latest", "x", "*", "1.x", "1.2.x", "-1.2.3", "+1", "1,2", "1.2.3-é", "１.２.３", "١.٢.٣", "1.2.3-\u0661",
	"0x1.2.3", "1_000.0.0", "1e3.0.0", "1.2.3-00", "1.2.3-" + strings.Repeat("a", 251), "1.2.3+" + strings.Repeat("a", 251)}

var rangeSeeds = []string{"*", "x", "X", "~*", "^*", ">*", ">=*", "<*", "<=*", "=*", "!=*", "*-0", ">=*-0", "!=*-alpha", "<*-0", "^x-0", "~x-0",
	"1.2.3 - 1.4", "1 - 2", "1.1 - 2 || 4", "1 - 2 || 3 - 4", "1 - 2||3 - 4", "v1.0.0 - v2.0.0", "1.0.0 - 2.0.0, <=2.0.0", "1.x - 2.x",
	">1 - 2", "1 -  2", "1  -\t2", "1- 2", "1 -2", "1-2", "1-2 - 3", "1 - 2 1 - 2", "1 - 2, 1 - 2", "1.2.3 - 2.0.0 - 3.0.0", "1 - 2 - 3 - 4",
	"1 - 2 || 1 - 2", "1 - 2,11 - 2", "1 - 2,1 - 20", "1.0.0-alpha - 1.2.3-rc.1", "1.0.0+a - 2+b", "*|", "x|", "1|2", "1||2", "1|||2", "|", "||", "||1", "1||", "1.2.3|",
	"1.x.|", "x.|.|", "*.1.2", "x.1.x", "1.*.3", "1.x.3-0", "1.2.x-0", "1.2.x-beta+x", "1.2-rc.1", "1-rc", "=1.2.3+a", "!=1.2.3+a",
	"1.2.3+a b", "1,2", "1 ,2", "1, 2", "1 , 2", "1,,2", ",1", "1,", "1 2", "1\t2", "1\n2", "1\v2", "1\f2", "1\r2", "1\u00a02", "1\u00852",
	"> 1", ">\n1", "> =1", "= >1", "=>1", "=<1", "==1", "=~1", "~=1", "~ 1", "~>1", "~> 1", "^ 1", "^^1", "!1", "! =1", "!=1", ">>1", "<>1",
	">1<2", ">1 <2", ">1,<2", ">=1.0.0-01", "^1.2.3-rc.01", "18446744073709551615", "18446744073709551616", "0.18446744073709551616",
	"0.0.18446744073709551616", "x.18446744073709551616", "1.x.18446744073709551616", ">= 18446744073709551615.0.0", "01.02.03", "1.02",
	"V1", "vv1", "v", "vx", "vX.1", "v*", "1.2.3-é", "１", "1.2.3.4", "1.2.3.x", "1.2.x.x", "(1)", "", " ", "\t", "1.2.3\n", "\n1.2.3", "1.2.3 \n",
	">=1.0.0 <2.0.0-0 || 3", ">=1 || 2-0", ">1.0.0-0 || <0.1", "^0-0", "~0-0", "^0.0-0", "^0.0.0", "^0.0.0-0", "~0.0.0-0", "~0", "~0.0", "=0", "=0.0",
	"!=0", "!=0.0", "!=0.0.0", "!=1.2-alpha", "!=1.x-alpha", "!=1.2.x-rc.1", ">1.x-0", ">1.2.x-0", "<=1.2.x-0", "<=1-0", "<1-0", "<1.2-0",
	strings.Repeat("1", 512), strings.Repeat("1", 513), strings.Repeat(" ", 511) + "1", strings.Repeat(" ", 512) + "1",
	"1.2.3-" + strings.Repeat("a", 250), "1.2.3-" + strings.Repeat("a", 251), "1-" + strings.Repeat("a", 250), "1-" + strings.Repeat("a", 251),
	strings.Repeat("1||", 31) + "1", strings.Repeat("1||", 32) + "1", strings.Repeat("1   ", 40) + "!", strings.Repeat("1 - 2 ", 20)}

func pick(random *rand.Rand, values []string) string { return values[random.Intn(len(values))] }

var operators = []string{"", "", "=", "!=", ">", "<", ">=", "=>", "<=", "=<", "~", "~>", "^"}

func numberOrX(random *rand.Rand) string {
	return pick(random, []string{"0", "0", "0", "1", "1", "1", "2", "2", "3", "4", "6", "9", "11", "x", "*", "X", "01"})
}

func randomVersion(random *rand.Rand) string {
	text := numberOrX(random)
	if random.Intn(8) == 0 {
		text = "v" + text
	}
	for parts := random.Intn(4); parts > 0 && strings.Count(text, ".") < 2; parts-- {
		text += "." + numberOrX(random)
	}
	if random.Intn(4) == 0 {
		text += "-" + pick(random, []string{"0", "1", "alpha", "alpha.1", "beta", "beta.2", "rc.1", "1a", "z", "x", "-", "10", "a-b"})
	}
	if random.Intn(12) == 0 {
		text += "+" + pick(random, []string{"a", "b.1", "001"})
	}
	return text
}

func randomRange(random *rand.Rand) string {
	var groups []string
	for range 1 + random.Intn(2)*random.Intn(3) {
		if random.Intn(8) == 0 {
			groups = append(groups, randomVersion(random)+" - "+randomVersion(random))
			continue
		}
		var parts []string
		for range 1 + random.Intn(3)*random.Intn(2) {
			parts = append(parts, pick(random, operators)+pick(random, []string{"", "", " "})+randomVersion(random))
		}
		groups = append(groups, strings.Join(parts, pick(random, []string{" ", ", ", ",", "  ", " , "})))
	}
	return strings.Join(groups, pick(random, []string{"||", " || "}))
}

func garbage(random *rand.Rand) string {
	tokens := []string{"=", "!", ">", "<", "~", "^", "|", "||", ",", " ", " ", "  ", "\t", "\v", "-", " - ", "+", ".", "1", "2", "0", "1.2", "1.2.3",
		"x", "*", "v", "rc.1", "-0", "_", "é", "a"}
	text := ""
	for range 1 + random.Intn(9) {
		text += pick(random, tokens)
	}
	return text
}

func mutate(random *rand.Rand, text string) string {
	if text == "" {
		return text
	}
	at := random.Intn(len(text))
	switch random.Intn(3) {
	case 0:
		return text[:at] + text[at+1:]
	case 1:
		return text[:at] + string(text[random.Intn(len(text))]) + text[at:]
	}
	return text[:at] + pick(random, []string{" ", "|", ",", "-", ".", "x", "v", "=", "~", "0"}) + text[at+1:]
}

func (f *fixture) versions() []*semver.Version {
	var parsed []*semver.Version
	for _, text := range versionSeeds {
		version, err := semver.NewVersion(text)
		if err != nil {
			log.Fatalf("%q: %v", text, err)
		}
		f.Versions = append(f.Versions, text)
		parsed = append(parsed, version)
	}
	for _, version := range parsed {
		lower := map[string]bool{}
		for _, other := range parsed {
			if other.Compare(version) < 0 {
				// equal versions count once: build metadata is not part of the key
				lower[fmt.Sprint(other.Major(), ".", other.Minor(), ".", other.Patch(), "-", other.Prerelease())] = true
			}
		}
		f.Ranks = append(f.Ranks, len(lower))
	}
	for _, text := range notVersions {
		if _, err := semver.NewVersion(text); err == nil {
			log.Fatalf("%q is a version", text)
		}
		f.NoVer = append(f.NoVer, text)
	}
	return parsed
}

func (f *fixture) ranges(parsed []*semver.Version) {
	random := rand.New(rand.NewSource(20260101))
	texts := append([]string{}, rangeSeeds...)
	for range 1500 {
		texts = append(texts, randomRange(random))
	}
	for range 700 {
		texts = append(texts, garbage(random))
	}
	for range 1200 {
		texts = append(texts, mutate(random, randomRange(random)))
	}
	seen := map[string]bool{}
	for _, text := range texts {
		if seen[text] {
			continue
		}
		seen[text] = true
		constraint, err := semver.NewConstraint(text)
		if err != nil {
			f.NoRange = append(f.NoRange, text)
			continue
		}
		f.Ranges = append(f.Ranges, [2]string{text, bits(constraint, parsed)})
	}
}

func bits(constraint *semver.Constraints, parsed []*semver.Version) string {
	text := ""
	for i := 0; i < len(parsed); i += 4 {
		digit := 0
		for j := range 4 {
			digit *= 2
			if i+j < len(parsed) && constraint.Check(parsed[i+j]) {
				digit++
			}
		}
		text += strconv.FormatInt(int64(digit), 16)
	}
	return text
}

func (f *fixture) expressions() {
	pattern := `^(?P<branch>[a-z]+)-(?P<sha>[a-f0-9]+)-(?P<ts>[0-9]+)$`
	for _, template := range []string{"$ts", "${ts}", "$3", "${3}", "$0", "$ts.$1", "$tsx", "${ts}x", "$$ts", "$$", "$", "a$", "${", "${ts", "${}", "$ ", "$-",
		"${ts }", "$1x", "${1}x", "$4", "$99999999999", "$03", "$_", "${no}", "plain", "$branch-$sha", "$ts$ts", "${ts}${", "$é", "${é}", "${branch}.$", "$1_"} {
		for _, tag := range []string{"main-1a2b3c-1606234201", "x-0-1"} {
			compiled := regexp.MustCompile(pattern)
			value := compiled.ExpandString(nil, template, tag, compiled.FindStringSubmatchIndex(tag))
			f.Expand = append(f.Expand, [4]string{pattern, template, tag, string(value)})
		}
	}
	for _, row := range [][3]string{{`(?P<a>x)|(?P<b>y)`, "$a:$b", "zy"}, {`v(?P<n>[0-9]+)`, "$n", "rev12v34"}, {`(?:a)(b)?`, "<$1>", "a"}, {`(a)(b)`, "$2$1", "ab"}} {
		compiled := regexp.MustCompile(row[0])
		value := compiled.ExpandString(nil, row[1], row[2], compiled.FindStringSubmatchIndex(row[2]))
		f.Expand = append(f.Expand, [4]string{row[0], row[1], row[2], string(value)})
	}
	for _, text := range []string{"0", "1", "-1", "+1", "007", "1.5", ".5", "5.", "1e3", "1E3", "1e-3", "", " 1", "1 ", "a", "1a", "0x10", "1_000", "--1", "1e", ".", "-",
		"20240105123000", "1606234201", "1.2.3", "9007199254740993", "00", "-0", "1e5", "12e4", "1__0",
		"_1", "1_", "1_.5", "1._5", "1.5_0", "1e1_0", "1e_1", "2024_01_31", "1e999", "-1e999", "1e-999", "１", strings.Repeat("9", 309), strings.Repeat("9", 320)} {
		value, err := strconv.ParseFloat(text, 64)
		formatted := ""
		if err == nil {
			formatted = strconv.FormatFloat(value, 'g', -1, 64)
		}
		f.Numbers = append(f.Numbers, [2]string{text, formatted})
	}
	tags := []string{"1.2.3", "v1.2.3", "main-abc-12", "MAIN", "a_b", "latest", "1.0.0-rc.1", "x]y", "a|b", "a[b", "a--b", "q.e", "qqe", "^a", "-", "a&&b"}
	for _, pattern := range []string{`(?P<a>[0-9]+)`, `(?<a>[0-9]+)`, `^v`, `\Av[0-9.]+\z`, `[[:alpha:]]+\z`, `^[[:digit:].]+$`, `[^[:alnum:]]`, `[[:^alpha:]]`,
		`^[[:lower:]_]+$`, `(?i)main`, `(?i:MAIN)-`, `[[:upper:]]`, `[[:punct:]]`, `\.rc`, `\Qq.e\E`, `^\Qa|b`, `[]]`, `[^]a]`, `[a[]`, `a[[]b`, `[a||b]`, `[a&&b]{2}`,
		`[+--]{2}`, `^\x61`, `^\x{61}`, `\d+\.\d+`, `\w-\w`, `^.*$`, `(?:main|latest)`, `a{1}`, `^[\]x]+y`, `\[b`, `[[:word:]]{5}`, `^[^[:^digit:]]`, `(?s).`, `(?m)^v`,
		`[\d.]{5}`, `[\w]-`, `\bmain\b`, `\Brc`, `^a.b$`, `[~~]`, `^\^a`, `[[:xdigit:]]{3}-`, `\A\z|^M`, `\Q[\E`, `$`} {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			log.Printf("left out: %v", err)
			continue
		}
		f.Patterns = append(f.Patterns, pattern)
		for _, tag := range tags {
			result := "0"
			if compiled.MatchString(tag) {
				result = "1"
			}
			f.Matches = append(f.Matches, [3]string{pattern, tag, result})
		}
	}
}

func main() {
	table := flag.String("check", "", "compare the rows of this file with the library")
	flag.Parse()
	if *table != "" {
		check(*table)
		return
	}
	f := fixture{
		About: "Answers of Masterminds/semver (MIT) and of Go's regexp and strconv (BSD-3-Clause), written by tests/tools/semver-oracle.",
	}
	f.Library = library()
	f.ranges(f.versions())
	f.expressions()
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(f); err != nil {
		log.Fatal(err)
	}
}
