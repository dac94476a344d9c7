# %% [markdown]
# # From a table that you have in memory
# A pandas frame (or a `datasets.Dataset`) goes in as it is; the recipe says which column is what.

# %%
import pandas as pd

import nlptl

greetings, offers = ["see you at noon", "thanks for the report", "call me"], ["win cash", "free prize", "click to win"]
table = pd.DataFrame(
    [
        {"body": f"{text} {number}", "verdict": verdict, "mailbox": mailbox}
        for mailbox in ("ann", "bob", "cy")
        for number in range(8)
        for verdict, texts in (("fine", greetings), ("junk", offers))
        for text in texts
    ]
)

# %% One mailbox in turn is the one that nobody labelled.
recipe = nlptl.Recipe(
    name="own-table",
    data=nlptl.data.Frame(table=table, text="body", domain="mailbox"),
    transfer={"protocol": "leave_one_out", "target_labels": 0, "hold_out": 1, "leaks": "keep"},
    encoder={"max_length": 32},
    heads={"junk": nlptl.heads.Linear(column="verdict", labels=("fine", "junk"), positive="junk")},
    evaluate={"matrix": True},
)
run = nlptl.fit(recipe)
run.results

# %% What a head taught by one mailbox alone is worth in another.
pd.DataFrame(run.results["matrix"]).T
