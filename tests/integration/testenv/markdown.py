"""What GitLab would do with a text: which quick actions it would run, and what in it
would be a mention, a reference, a link, a task or markup. For the fake GitLab, so that
foreign text which takes effect shows in a test.

The block rules are CommonMark's as far as they decide about this: fences, indented code,
quotes, HTML blocks, paragraphs. In doubt a line counts as active."""

import re

QUICK_ACTIONS = frozenset(
    """add_child add_contacts add_email add_linked_items alert approve assign assign_reviewer
    award blocked_by blocks board_move cc checkin_reminder child_of child_task clear_health_status
    clear_weight clone close confidential convert_to_ticket copy_metadata create_merge_request
    current_merge done draft due duplicate epic estimate estimate_time health_status iteration
    label labels link lock mark_as_duplicate merge milestone move page parent parent_epic
    promote promote_to promote_to_incident publish react ready reassign reassign_reviewer
    rebase relabel relate remove_child remove_contacts remove_due_date remove_email
    remove_epic remove_estimate remove_estimate_time remove_iteration remove_label
    remove_milestone remove_parent remove_parent_epic remove_time_spent remove_zoom reopen
    request_changes request_review rocket run_pipeline set_parent severity shrug
    spend spend_time spent submit_review subscribe tableflip tag target_branch time_estimate
    timeline title todo type unapprove unassign unassign_reviewer unblock unlabel unlink
    unlock unreact unsubscribe weight wip zoom""".split()
)
FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
HTML_BLOCK = re.compile(r" {0,3}<(?:[A-Za-z/!?])")
ACTION = re.compile(r"/([a-z_]+)(?:\s|$)", re.IGNORECASE)
# Outside code: what becomes more than text. A word character before @, #... stops it.
EFFECTS = {
    "mention": re.compile(r"(?<![\w/.`\\])@[A-Za-z0-9_][\w.\-/]*"),
    "issue": re.compile(r"(?<![\w&\\])(?:[\w./-]+)?#\d+"),
    "merge_request": re.compile(r"(?<![\w\\])(?:[\w./-]+)?!\d+"),
    "label": re.compile(r"(?<![\w~\\])~(?:\"[^\"]+\"|[A-Za-z0-9_:.-]+)"),
    "milestone": re.compile(r"(?<![\w\\])%(?:\"[^\"]+\"|[A-Za-z0-9_.-]+)"),
    "epic": re.compile(r"(?<![\w\\])&\d+"),
    "snippet": re.compile(r"(?<![\w\\])\$\d+"),
    "link": re.compile(r"https?://[^\s<>)\]]+|(?<!\\)\]\([^)]*\)", re.IGNORECASE),
    "image": re.compile(r"(?<!\\)!\["),
    "html": re.compile(r"(?<!\\)<(?:[A-Za-z/][^>]*>|!--)"),
    "task": re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+\[[ xX]\]", re.MULTILINE),
    "heading": re.compile(r"^ {0,3}#{1,6}\s", re.MULTILINE),
    "emoji": re.compile(r"(?<![\w\\]):[a-z0-9_+-]+:"),
}


class Block:
    """Lines of one kind: text, fence, code (indented), quote or html."""

    def __init__(self, kind, numbers):
        self.kind = kind
        self.numbers = numbers  # of the lines


def _closes(line, mark):
    body = line.strip()
    indent = len(line) - len(line.lstrip(" "))
    return indent < 4 and body and set(body) == {mark[0]} and len(body) >= len(mark)


def blocks(lines):
    """The text's blocks. A fence that is never closed reaches to the end."""
    out, i = [], 0
    while i < len(lines):
        line = lines[i]
        first = i
        fence = FENCE.match(line)
        if not line.strip():
            i += 1
            continue
        if fence:
            i += 1
            while i < len(lines) and not _closes(lines[i], fence.group(1)):
                i += 1
            i += 1
            out.append(Block("fence", range(first, min(i, len(lines)))))
            continue
        if line.startswith(("    ", "\t")):
            kind = "code"
            more = lambda text: text.startswith(("    ", "\t")) or not text.strip()
        elif line.lstrip(" ").startswith(">"):
            kind = "quote"  # with the lines that carry its paragraph on
            more = lambda text: text.strip() and not FENCE.match(text)
        elif HTML_BLOCK.match(line):
            kind = "html"
            end = "-->" if line.lstrip().startswith("<!--") else None
            if end and end not in line:
                while i < len(lines) and end not in lines[i]:
                    i += 1
                i += 1
                out.append(Block(kind, range(first, min(i, len(lines)))))
                continue
            more = lambda text: text.strip()
        else:
            kind = "text"
            more = lambda text: text.strip() and not FENCE.match(text)
        i += 1
        while i < len(lines) and more(lines[i]):
            i += 1
        out.append(Block(kind, range(first, i)))
    return out


def without_spans(text):
    """The paragraph with its code spans blanked, line breaks kept."""
    out, i = [], 0
    while i < len(text):
        if text[i] == "\\" and i + 1 < len(text):
            out.append(text[i:i + 2])
            i += 2
            continue
        run = re.match(r"`+", text[i:])
        if not run:
            out.append(text[i])
            i += 1
            continue
        mark = run.group()
        close = re.search(rf"(?<!`){mark}(?!`)", text[i + len(mark):])
        if not close:
            out.append(mark)
            i += len(mark)
            continue
        end = i + len(mark) + close.end()
        out.append(re.sub(r"[^\n]", " ", text[i:end]))
        i = end
    return "".join(out)


def quick_actions(text):
    """(the actions that run, the text without their lines)."""
    lines = text.replace("\r", "").split("\n")
    gone, found = set(), []
    for block in blocks(lines):
        if block.kind != "text":
            continue
        shown = without_spans("\n".join(lines[n] for n in block.numbers)).split("\n")
        for n, seen in zip(block.numbers, shown):
            action = ACTION.match(seen)
            if action and action.group(1).lower() in QUICK_ACTIONS:
                found.append(lines[n])
                gone.add(n)
    if not found:
        return [], text
    return found, "\n".join(line for n, line in enumerate(lines) if n not in gone).strip()


def effects(text):
    """[(kind, words)] of all in a text that is more than text outside code."""
    lines = text.replace("\r", "").split("\n")
    found = []
    for block in blocks(lines):
        if block.kind in ("fence", "code"):
            continue
        shown = without_spans("\n".join(lines[n] for n in block.numbers))
        if block.kind == "quote":
            found.append(("quote", lines[block.numbers[0]]))
        for kind, pattern in EFFECTS.items():
            found += [(kind, hit.group()) for hit in pattern.finditer(shown)]
    return found


def title_effects(title):
    """References are rendered in titles too; there are no code blocks there."""
    return [
        (kind, hit.group())
        for kind in ("mention", "issue", "merge_request", "label", "milestone", "epic", "snippet")
        for hit in EFFECTS[kind].finditer(without_spans(title))
    ]


def fenced(text):
    """The contents of the text's fences, exact."""
    lines = text.split("\n")
    return [
        "\n".join(lines[n] for n in block.numbers[1:-1]) + "\n"
        for block in blocks(lines)
        if block.kind == "fence"
    ]
