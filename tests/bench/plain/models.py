"""One table with 40 decimal columns and its history."""

from django.db import models
from simple_history.models import HistoricalRecords

ITEMS = 40


class Values(models.Model):
    """The columns, which a class statement of 40 lines would write out."""

    class Meta:
        abstract = True


for number in range(ITEMS):
    Values.add_to_class(f"value_{number}", models.FloatField(null=True))


class PlainRecord(Values):
    subject = models.CharField(max_length=20)
    reason = models.TextField(blank=True)
    history = HistoricalRecords()

    class Meta:
        app_label = "plain"

    def __str__(self) -> str:
        return self.subject
