"""Writes ``requests.csv``: 360 short requests to the desk of a library that does not exist, and what each is about.

All sentences were written for this repository. Each is an opening, a matter and an ending drawn at random, so that
classes share most of their words; a few matters could stand for two classes, as in real requests. The same file every
time: ``python data/own/make_requests.py``.
"""

import csv
import random
from pathlib import Path

ROWS = {"renewal": 126, "account": 90, "events": 66, "opening": 48, "complaint": 30}  # imbalanced, as requests are
OPENINGS = (
    "Hello,", "Good morning,", "Hi there,", "Dear library,", "Quick question:", "Sorry to bother you, but", "Again:",
    "Good evening.", "", "", "", "For my son:", "I am writing for my neighbour.", "On behalf of our book club:",
)  # fmt: skip
ENDINGS = (
    "Thank you.", "Thanks in advance!", "Please let me know.", "I would be glad of an answer today.", "", "", "", "",
    "Kind regards from the hill.", "You can reach me in the evening.", "No hurry.", "It is rather urgent.",
    "Best wishes.",
)  # fmt: skip
THINGS = (
    "the atlas of rivers", "two crime novels", "a travel guide to Norway",
    "the cookbook with the blue cover", "my audio books",
    "the film about bees", "a picture book", "the violin notes", "three magazines", "a book on tax law",
    "the big dictionary",
    "the thriller I took on Monday",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TOPICS = (
    "the reading for children", "the chess evening", "the talk on local history", "the poetry night",
    "the repair workshop",
    "the language table", "the course on photographs", "the puppet show",
)  # fmt: skip
WEEKS = ("another week", "two more weeks", "a few days longer", "until the end of the month", "over the holidays")
MATTERS = {
    "renewal": (
        "may I keep {thing} for {weeks}?", "{thing} should go back on {day}, and I have not finished.",
        "could you extend {thing} for {weeks}?", "the website does not let me prolong {thing}.",
        "I would need {thing} {weeks}.", "is {thing} reserved by somebody else, or can I have it {weeks}?",
        "what does it cost if {thing} comes back on {day} instead?", "I am ill and cannot return {thing} before {day}.",
        "somebody must have put a hold on {thing}; can it be lifted?", "when exactly is {thing} due?",
    ),
    "account": (
        "my card is lost and I need a new one.", "the website says that my password is wrong.",
        "I moved last {day}; how do I change my address?", "how can my daughter get a card of her own?",
        "the website does not let me in since {day}.", "I was charged a fee twice and would like it back.",
        "my card has expired, can it be renewed at the desk?", "please close my account, we are leaving town.",
        "which papers do I need to join?", "there is a fee on my account for {thing}, which I returned on {day}.",
        "can I pay the yearly fee in cash?", "the mails that remind me go to my old address.",
    ),
    "events": (
        "are there seats left for {topic} on {day}?", "do I have to sign up for {topic}?",
        "at what time does {topic} begin?",
        "is {topic} on {day} free of charge?", "I would like to cancel my two seats for {topic}.",
        "could we use the hall for {topic} of our own?", "will {topic} be repeated?",
        "is {topic} meant for adults, too?",
        "who speaks at {topic}?", "does {topic} take place although it is a holiday on {day}?",
    ),
    "opening": (
        "are you open on {day}?", "until what time can I come on {day}?",
        "is the reading room closed over the holidays?",
        "from when on is the desk staffed on {day}?", "can I return {thing} when you are closed?",
        "do the hours change in summer?", "is the branch by the river open on {day} as well?",
        "does the café close earlier than the library on {day}?", "is it true that you stay closed on {day}?",
    ),
    "complaint": (
        "the heating in the reading room has been off since {day}.",
        "somebody at the desk was very rude to me on {day}.",
        "{thing} came with pages missing.", "it was so loud on {day} that nobody could read.",
        "the lift has been broken for weeks.", "I waited for an hour at the desk on {day}.",
        "{topic} was cancelled and nobody told us.", "I was charged a fee although you were closed on {day}.",
        "the machine at the entrance swallowed {thing} again.",
    ),
}  # fmt: skip


def requests() -> list[tuple[str, str]]:
    """All rows, text and label, in a random order, none twice."""
    draw, rows = random.Random(53), {}
    for label, count in ROWS.items():
        wanted = len(rows) + count
        while len(rows) < wanted:
            matter = draw.choice(MATTERS[label]).format(
                thing=draw.choice(THINGS), weeks=draw.choice(WEEKS), day=draw.choice(DAYS), topic=draw.choice(TOPICS)
            )
            opening = draw.choice(OPENINGS)
            if not opening.endswith((",", ":", "but")):
                matter = matter[0].upper() + matter[1:]
            rows.setdefault(" ".join(filter(None, (opening, matter, draw.choice(ENDINGS)))), label)
    found = list(rows.items())
    draw.shuffle(found)
    return found


if __name__ == "__main__":
    with Path(__file__).with_name("requests.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(requests())
