"""The site's own addresses, and the yardstick's beside them."""

from django.urls import include, path
from rest_framework import serializers, viewsets

from tests.bench.plain.models import PlainRecord


class PlainSerializer(serializers.ModelSerializer):
    class Meta:
        model = PlainRecord
        fields = "__all__"


class PlainViewSet(viewsets.ModelViewSet):
    queryset = PlainRecord.objects.all()
    serializer_class = PlainSerializer


urlpatterns = [
    path("plain/<int:pk>/", PlainViewSet.as_view({"get": "retrieve", "put": "update"})),
    path("", include("deploy.urls")),
]
