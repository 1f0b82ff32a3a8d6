/**
 * Completion of the command line in bash, zsh and fish, made from the commands themselves, so that it knows what they know.
 * Each script finds out at which command the cursor is, and asks tables; names of rules come from the daemon.
 */
import type { Command, Option } from "commander";

/** What may stand somewhere: one of some words, a file, a folder, the name of a rule, or anything. */
export type Kind = readonly string[] | "file" | "folder" | "rule" | "any";

export interface FlagNode {
  /** With their dashes: the short one first, where there is one. */
  readonly names: readonly string[];
  readonly description: string;
  /** As in the help: `-c, --config <file>`. */
  readonly syntax: string;
  readonly required: boolean;
  /** What its value is; undefined where it takes none. */
  readonly value: Kind | undefined;
}

/** A command with all below it. */
export interface CommandNode {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly description: string;
  /** As in the help: `<rule>`, `[table]`. */
  readonly arguments: readonly { readonly syntax: string; readonly description: string; readonly kind: Kind }[];
  readonly flags: readonly FlagNode[];
  readonly commands: readonly CommandNode[];
}

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** The commands as data; what is hidden from the help is left out. */
export function commandTree(command: Command): CommandNode {
  const help = command.createHelp();
  return {
    name: command.name(),
    aliases: command.aliases(),
    description: command.description(),
    arguments: command.registeredArguments.map((argument) => ({
      syntax: argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
      description: argument.description,
      kind: argument.argChoices ?? (argument.name() === "shell" ? SHELLS : kindOf(argument.name())),
    })),
    flags: help.visibleOptions(command).map(flagOf),
    // Commander's own `policy help` is `policy --help`.
    commands: help
      .visibleCommands(command)
      .filter((child) => child.name() !== "help")
      .map(commandTree),
  };
}

const flagOf = (option: Option): FlagNode => ({
  names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
  description: option.description,
  syntax: option.flags,
  required: option.mandatory,
  value: option.required || option.optional ? (option.argChoices ?? kindOf(/[<[](\w+)/.exec(option.flags)?.[1] ?? "")) : undefined,
});

const KINDS: Readonly<Record<string, Kind>> = { file: "file", path: "file", folder: "folder", rule: "rule" };
const kindOf = (placeholder: string): Kind => KINDS[placeholder] ?? "any";

/** The script for a shell. */
export function completionScript(shell: Shell, tree: CommandNode): string {
  const places = flatten(tree, "", []);
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](places);
}

/** A command at its place: the words that lead to it, each with a blank in front; with those of its parents that hold everywhere. */
interface Place {
  readonly paths: readonly string[];
  readonly node: CommandNode;
  readonly flags: readonly FlagNode[];
}

/** Flags of the program itself may stand behind every command. */
function flatten(node: CommandNode, path: string, inherited: readonly FlagNode[]): readonly Place[] {
  const flags = [
    ...node.flags,
    ...inherited.filter(({ names }) => !node.flags.some((own) => own.names.some((name) => names.includes(name)))),
  ];
  const global = path === "" ? node.flags.filter(({ names }) => !names.includes("--version")) : inherited;
  const below = node.commands.flatMap((child) => {
    const [first, ...others] = flatten(child, `${path} ${child.name}`, global);
    return first ? [{ ...first, paths: [child.name, ...child.aliases].map((name) => `${path} ${name}`) }, ...others] : [];
  });
  return [{ paths: [path], node, flags }, ...below];
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const labels = (texts: readonly string[]): string => texts.map(quote).join("|");
const isList = (kind: Kind): kind is readonly string[] => typeof kind !== "string";

/** Lines `place word) …` for every flag that takes a value. */
const valued = (places: readonly Place[], act: (kind: Kind) => string): string =>
  places
    .flatMap(({ paths, flags }) =>
      flags.flatMap(({ names, value }) =>
        value === undefined ? [] : [`    ${labels(paths.flatMap((path) => names.map((name) => `${path} ${name}`)))}) ${act(value)} ;;`],
      ),
    )
    .join("\n");

/** Where the cursor is: `at` becomes the words that lead to the command, `expects` what the word before wants. */
const walk = (places: readonly Place[], words: string): string => `  local at='' expects='' word
  for word in ${words}; do
    if [[ -n $expects ]]; then expects=''; continue; fi
    case "$at $word" in
${valued(places, (kind) => `expects=${quote(isList(kind) ? kind.join(" ") : kind)}`)}
    ${labels(places.flatMap(({ paths }) => paths).filter((path) => path !== ""))}) at="$at $word" ;;
    esac
  done`;

/** The names behind a command: those below it and their aliases, or what its first argument may be. */
const wordsOf = ({ node }: Place): readonly (readonly [string, string])[] => [
  ...node.commands.flatMap(({ name, aliases, description }) => [name, ...aliases].map((each) => [each, description] as const)),
  ...node.arguments.flatMap(({ kind, description }) => (isList(kind) ? kind.map((each) => [each, description] as const) : [])),
];
const kindsOf = ({ node }: Place): readonly string[] => node.arguments.flatMap(({ kind }) => (isList(kind) ? [] : [kind]));
const flagsOf = ({ flags }: Place): readonly (readonly [string, string])[] =>
  flags.flatMap(({ names, description }) => names.map((name) => [name, description] as const));

const NOTE = "# Completion for mainmode(8), printed by `mainmode completion";

function bashScript(places: readonly Place[]): string {
  const tables = places
    .map((place) => {
      const words = [...wordsOf(place), ...flagsOf(place)].map(([word]) => word).join(" ");
      return `    ${labels(place.paths)}) words=${quote(words)} kinds=${quote(kindsOf(place).join(" "))} ;;`;
    })
    .join("\n");
  return `${NOTE} bash\`.
_mainmode() {
  local cur=\${COMP_WORDS[COMP_CWORD]} words='' kinds='' name
${walk(places, `"\${COMP_WORDS[@]:1:COMP_CWORD-1}"`)}
  COMPREPLY=()
  case "$expects" in
    '') case "$at" in
${tables}
    esac ;;
    file|folder|rule|any) kinds=$expects ;;
    *) words=$expects ;;
  esac
  # Only where flags are asked for, or where there is nothing else.
  if [[ $cur != -* && ( -n $kinds || $words == [!-]* ) ]]; then words=" $words"; words=\${words// -*/}; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  case " $kinds " in
    *' file '*) compopt -o filenames 2>/dev/null; while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$cur") ;;
    *' folder '*) compopt -o filenames 2>/dev/null; while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -d -- "$cur") ;;
    *' rule '*) [[ $cur == -* ]] || while IFS= read -r name; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf %q "$name")")
      done < <("\${COMP_WORDS[0]}" completion --rules 2>/dev/null) ;;
  esac
}
complete -F _mainmode mainmode
`;
}

function zshScript(places: readonly Place[]): string {
  const described = (list: readonly (readonly [string, string])[]): string =>
    list.map(([word, text]) => quote(`${word.replaceAll(":", "\\:")}:${text}`)).join(" ");
  const tables = places
    .map(
      (place) =>
        `    ${labels(place.paths)}) found=(${described(wordsOf(place))}) flags=(${described(flagsOf(place))}) kinds=${quote(kindsOf(place).join(" "))} ;;`,
    )
    .join("\n");
  return `#compdef mainmode
${NOTE} zsh\`.
_mainmode() {
  local kinds=''
  local -a found flags rules
${walk(places, `"\${(@)words[2,CURRENT-1]}"`)}
  case "$expects" in
    '') case "$at" in
${tables}
    esac ;;
    file|folder|rule|any) kinds=$expects ;;
    *) found=(\${=expects}) ;;
  esac
  if [[ $words[CURRENT] == -* || ( -z $kinds && $#found -eq 0 ) ]]; then _describe -o option flags; return; fi
  (( $#found )) && _describe word found
  case " $kinds " in
    *' file '*) _files ;;
    *' folder '*) _files -/ ;;
    *' rule '*) rules=(\${(f)"$($words[1] completion --rules 2>/dev/null)"}); (( $#rules )) && compadd -a rules ;;
  esac
}
if [[ $funcstack[1] == _mainmode ]]; then _mainmode "$@"; else compdef _mainmode mainmode; fi
`;
}

function fishScript(places: readonly Place[]): string {
  const lines = places.flatMap((place) => {
    const here = `-n ${quote(place.paths.map((path) => `__mainmode_at${path === "" ? " ''" : ` ${quote(path)}`}`).join("; or "))}`;
    return [
      ...wordsOf(place).map(([word, text]) => `complete -c mainmode ${here} -f -a ${quote(word)} -d ${quote(text)}`),
      ...kindsOf(place).map((kind) => `complete -c mainmode ${here} ${FISH_KINDS[kind] ?? "-f"}`),
      ...place.flags.map(({ names, description, value }) => {
        const spelt = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)).join(" ");
        const takes = value === undefined ? "" : ` -r ${isList(value) ? `-f -a ${quote(value.join(" "))}` : (FISH_KINDS[value] ?? "-f")}`;
        return `complete -c mainmode ${here} ${spelt}${takes} -d ${quote(description)}`;
      }),
    ];
  });
  return `${NOTE} fish\`.
# Whether the cursor is at the command that these words lead to, each with a blank in front.
function __mainmode_at
  set -l at ''
  set -l expects ''
  for word in (commandline -opc)[2..-1]
    if test -n "$expects"
      set expects ''
      continue
    end
    switch "$at $word"
      case ${fishValued(places).map(quote).join(" ")}
        set expects value
      case ${places
        .flatMap(({ paths }) => paths)
        .filter((path) => path !== "")
        .map(quote)
        .join(" ")}
        set at "$at $word"
    end
  end
  test "$at" = "$argv[1]"
end
complete -c mainmode -f
${lines.join("\n")}
`;
}

const fishValued = (places: readonly Place[]): readonly string[] =>
  places.flatMap(({ paths, flags }) =>
    flags.flatMap(({ names, value }) => (value === undefined ? [] : paths.flatMap((path) => names.map((name) => `${path} ${name}`)))),
  );

const FISH_KINDS: Readonly<Record<string, string>> = {
  file: "-F",
  folder: "-f -a '(__fish_complete_directories)'",
  rule: "-f -a '(mainmode completion --rules 2>/dev/null)'",
};
